"""Coverage-guided fuzzing of reports in all formats: ``python -m tests.fuzz.atheris_report -max_total_time=120``."""

from tests.fuzz.guided import fuzz

if __name__ == "__main__":
    fuzz("report")
