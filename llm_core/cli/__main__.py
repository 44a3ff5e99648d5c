"""Lets `python -m llm_core.cli` do what `glassbox` does, from any folder."""

import sys

from llm_core.cli.main import main

sys.exit(main())
