"""Draws docs/report.png, the head of a report in a browser: python docs/draw_report.py. It needs Chromium."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "report.png"
WINDOW = "1040,1500"  # pixels; the page goes on below
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]


def main() -> int:
    """Synthesise a contest, run it, make its report, and take a picture of it."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium here. On Debian: apt-get install chromium")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        soundpost = [sys.executable, "-m", "soundpost.cli"]
        run = ["--test-dir", "sample/test", "--sample-submission", "sample/sample_submission.csv"]
        report = ["report", "run.json", "--truth", "sample/truth.csv", "--clips", "sample/test", "--out", "report.html"]
        for words in (["sample", "--out", "sample", "--clips", "400"], ["run", *run], report):
            subprocess.run([*soundpost, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        address = (Path(folder) / "report.html").as_uri()
        taken = [f"--user-data-dir={folder}/profile", f"--window-size={WINDOW}", f"--screenshot={PICTURE}", address]
        subprocess.run([browser, *OPTIONS, *taken], check=True, stderr=subprocess.DEVNULL)
    print(f"wrote {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
