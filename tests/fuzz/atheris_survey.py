"""Coverage-guided fuzzing of the survey and all rules: ``python -m tests.fuzz.atheris_survey -max_total_time=120``."""

from tests.fuzz.guided import fuzz

if __name__ == "__main__":
    fuzz("survey")
