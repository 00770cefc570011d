"""The seed tasks as a file: whole, different from one another, varied in kind and language."""

from __future__ import annotations

import re
from collections import Counter

from training.instructions.seeds import seed_tasks


def test_each_seed_is_whole_and_like_no_other():
    seeds = seed_tasks()
    assert len(seeds) >= 64
    assert len({seed.id for seed in seeds}) == len(seeds)
    assert len({(seed.instruction.casefold(), seed.input.casefold()) for seed in seeds}) == len(seeds)
    for seed in seeds:
        for text in (seed.id, seed.cluster, seed.instruction, seed.input, seed.output):
            assert text == text.strip()
        assert seed.instruction, seed.id
        assert seed.output, seed.id
        assert seed.output != seed.input, seed.id
        assert len(seed.instruction + seed.input + seed.output) <= 400, seed.id  # a small model's window


def test_no_cluster_is_a_single_task():
    clusters = Counter(seed.cluster for seed in seed_tasks())
    assert len(clusters) >= 12
    assert min(clusters.values()) >= 4
    assert {"sentiment", "translation", "arithmetic", "grammar", "summarising", "planning"} <= set(clusters)


def test_some_are_chinese_and_some_german():
    texts = [f"{seed.instruction} {seed.input} {seed.output}" for seed in seed_tasks()]
    assert sum(bool(re.search(r"[一-鿿]", text)) for text in texts) >= 5
    german = re.compile(r"\b(Du|Die|Das|Was|Satz|Ein|Eine|Setze|Erkläre|Übersetze)\b")
    assert sum(bool(german.search(text)) for text in texts) >= 5
