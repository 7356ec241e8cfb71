"""Coverage-guided fuzzing of guest disk and map: ``python -m tests.fuzz.atheris_read -max_total_time=120``."""

from tests.fuzz.guided import fuzz

if __name__ == "__main__":
    fuzz("read")
