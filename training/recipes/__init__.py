"""Training recipes: programs that turn a run directory into a checkpoint. torch here, Django never.

`python -m training.recipes.<recipe> RUN_DIR` is the whole interface; see training/rundir.py for the files.
"""

import os

# Before any Hugging Face library is imported: nothing is reported home, and tokenizers start no threads of their own.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Before torch allocates: tensors of 2 MB and more ask for huge pages, which fresh memory costs a fraction with.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
