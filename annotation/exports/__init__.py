"""From judgments to files.

judged    which judgments count, read in batches
pool      proposed tasks that people accepted
types     the types of a snapshot: one function each and a row in EXPORTS
card      what a snapshot says about itself
formats   a snapshot in the words of a library: one function each and a row in FORMATS
writers   rows as JSONL, CSV or Parquet, plain or gzipped
"""

from annotation.exports.context import SnapshotContext, SnapshotRow
from annotation.exports.types import EXPORTS, NO_GOOD_ANSWER
from annotation.judged.counted import Filter

__all__ = ["EXPORTS", "NO_GOOD_ANSWER", "Filter", "SnapshotContext", "SnapshotRow"]
