"""`kubectl tpt`, by `python -m tpt_viewer`."""

from tpt_viewer.plugin import main

if __name__ == "__main__":
    main()
