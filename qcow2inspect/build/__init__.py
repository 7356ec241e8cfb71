"""The writer: from recipes to images, valid ones and deliberately broken ones.

:mod:`~qcow2inspect.build.writer` allocates clusters and keeps refcounts, :mod:`~qcow2inspect.build.recipe` says what
an image shall hold, :mod:`~qcow2inspect.build.create` turns a raw disk into an image,
:mod:`~qcow2inspect.build.demo` makes the images of ``qcow2inspect demo``.
"""
