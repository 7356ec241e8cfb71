"""Coverage-guided fuzzing of opening: ``python -m tests.fuzz.atheris_open -max_total_time=120``."""

from tests.fuzz.guided import fuzz

if __name__ == "__main__":
    fuzz("open")
