"""Tasks made by rule, their wordings, what is kept unseen, and the figures of it."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import pytest

from training.instructions import words
from training.instructions.recast import (
    CLUSTERS,
    UNSEEN_TASKS,
    UNSEEN_TEMPLATES,
    prompt_text,
    recast,
    recast_labelled,
    seed_rows,
)
from training.instructions.report import compare, in_words, mentions, same_answer, wilson
from training.instructions.rule_task import draw
from training.instructions.seeds import seed_tasks
from training.instructions.tasks import INVERTED, TASKS

BY_NAME = {task.name: task for task in TASKS}


def rows_of(*names: str, held_out: tuple[str, ...] = (), per_task: int = 40, test_per_task: int = 10, seed: int = 0):
    tasks = [BY_NAME[name] for name in names] or TASKS
    return list(recast(tasks, held_out=held_out, per_task=per_task, test_per_task=test_per_task, seed=seed))


# --- examples are right ----------------------------------------------------------------------------------------


def examples(name: str, count: int = 60):
    return [(example.slots, example.answer) for example in draw(BY_NAME[name], count, seed=7)]


def test_lists_are_counted_sorted_and_searched_rightly():
    for slots, answer in examples("count_items"):
        assert words.NUMBERS.index(answer) == slots["text"].count(",") + 1
    for slots, answer in examples("sort_words"):
        listed = answer.split(", ")
        assert all(first < second for first, second in itertools.pairwise(listed))
        assert Counter(listed) == Counter(slots["text"].split(", "))
    for slots, answer in examples("in_list"):
        assert answer == ("yes" if f", {slots['word']}," in f", {slots['text']}," else "no")
    kind = {noun: name for name, nouns in words.CATEGORIES.items() for noun in nouns}
    for slots, answer in examples("odd_one_out"):
        kinds = Counter(kind[noun] for noun in slots["text"].split(", "))
        assert (kinds[kind[answer]], sorted(kinds.values())) == (1, [1, 3])


def test_numbers_are_said_and_added_rightly():
    assert [words.in_words(number) for number in (0, 13, 20, 21, 99)] == [
        "zero",
        "thirteen",
        "twenty",
        "twenty-one",
        "ninety-nine",
    ]
    value = {words.in_words(number): number for number in range(100)}
    for slots, answer in examples("sum"):
        first, second = slots["text"].split(" and ")
        assert value[first] + value[second] == value[answer]
    for slots, answer in examples("digits"):
        assert value[slots["text"]] == int(answer)
    for slots, answer in examples("larger_number"):
        first, second = slots["text"].split(" and ")
        assert int(answer) == max(int(first), int(second))


def test_what_a_text_says_is_what_is_asked_for():
    for slots, answer in examples("who_has"):
        assert f"{answer} has {slots['thing']}." in slots["text"]
    for slots, answer in examples("taller"):
        (tall_1, small_1), (tall_2, small_2) = (
            said.rstrip(".").split(" is taller than ") for said in slots["text"].split(". ")
        )
        tallest, shortest = (tall_1, small_2) if small_1 == tall_2 else (tall_2, small_1)
        pair = {"yes": (tallest, shortest), "no": (shortest, tallest)}[answer]
        assert (slots["one"], slots["other"]) == pair
    for slots, answer in examples("same_meaning"):
        first, second = (line[3:].rstrip(".") for line in slots["text"].split("\n"))
        who, verb, *thing = first.split()
        done = {present: past for present, past, _ in words.ACTIONS}[verb]
        said_again = {f"{' '.join(thing)} {be} {done} by {who}".casefold() for be in ("is", "are")}
        assert answer == ("yes" if second.casefold() in said_again else "no")


def test_no_word_has_two_answers():
    for pairs in (words.PLURALS, words.PASTS, words.OPPOSITES):
        assert len(dict(pairs)) == len(pairs)
    for classes in (words.CATEGORIES, words.LANGUAGES):
        everything = [word for listed in classes.values() for word in listed]
        assert len(set(everything)) == len(everything)
    assert dict(words.PLURALS)["child"] == "children"
    assert dict(words.PASTS)["teach"] == "taught"


def test_answers_with_options_are_one_of_them_and_each_occurs():
    for task in TASKS:
        answers = Counter(example.answer for example in draw(task, 200, seed=1))
        if task.options:
            assert set(answers) == set(task.options), task.name


def test_the_same_seed_draws_the_same_and_more_begin_with_the_same():
    for task in TASKS:
        few, many = draw(task, 10, seed=3), draw(task, 20, seed=3)
        assert many[:10] == few
        assert draw(task, 10, seed=4) != few
        assert len({str(example.slots) for example in many}) == 20


# --- wordings and splits ---------------------------------------------------------------------------------------


def test_a_row_reads_as_somebody_would_say_it():
    rows = {row["template"]: row for row in rows_of("digits", "sentiment", per_task=12)}
    assert {row["wording"] for row in rows.values()} == {"interrogative", "imperative", "options", "inverted"}
    digits = next(row for row in rows.values() if row["task"] == "digits" and row["wording"] == "imperative")
    assert prompt_text(digits) == f"{digits['instruction']}\n\n{digits['input']}"
    assert digits["output"].isdigit()
    turned = rows["digits/inverted-1"]
    assert prompt_text(turned) == f"Write {turned['instruction'].split()[1]} in words."
    assert turned["output"].isalpha() or "-" in turned["output"]
    assert turned["options"] == []
    block = rows["sentiment/options-1"]
    assert block["instruction"] == "How does the writer feel?\nOptions:\n- positive\n- negative"
    assert block["options"] == ["positive", "negative"]


def test_no_slot_is_left_open():
    for row in rows_of():
        assert "{" not in prompt_text(row) + row["output"]
        assert row["output"], row["template"]


def test_tests_show_neither_examples_nor_wordings_of_training():
    by_task = defaultdict(lambda: defaultdict(list))
    for row in rows_of(held_out=("paraphrase", "comparison")):
        by_task[row["task"]][row["split"]].append(row)
    for name, splits in by_task.items():
        if BY_NAME[name].cluster in ("paraphrase", "comparison"):
            assert set(splits) == {UNSEEN_TASKS}
            continue
        assert set(splits) == {"train", UNSEEN_TEMPLATES}
        trained, tested = ({row["template"] for row in splits[split]} for split in ("train", UNSEEN_TEMPLATES))
        assert len(trained) >= 3
        assert len(tested) == 1
        assert not trained & tested
        given = {row["input"] for row in splits["train"]}
        slots_in_instruction = "{" in BY_NAME[name].wordings[0].instruction
        if not slots_in_instruction:
            assert not given & {row["input"] for row in splits[UNSEEN_TEMPLATES]}, name
        assert all(row["wording"] != INVERTED for row in splits[UNSEEN_TEMPLATES])
    assert len(by_task["taller"][UNSEEN_TASKS]) == 10
    assert len({row["template"] for row in by_task["taller"][UNSEEN_TASKS]}) == 5


def test_a_task_with_few_words_keeps_a_third_for_testing():
    splits = Counter(row["split"] for row in rows_of("language", per_task=500, test_per_task=400))
    assert splits == {"train": 40, UNSEEN_TEMPLATES: 20}  # four languages of fifteen words


def test_held_out_clusters_take_their_seed_tasks_with_them():
    assert set(CLUSTERS) <= {seed.cluster for seed in seed_tasks()}  # the two are of one vocabulary
    rows = list(seed_rows(seed_tasks(), ("sentiment",)))
    assert len(rows) == len(seed_tasks()) - 5
    assert {row["split"] for row in rows} == {"train"}
    assert "sentiment" not in {row["cluster"] for row in rows}


def test_a_projects_labels_become_options():
    labelled = [{"text": f"text {place}", "label": ("good", "bad")[place % 2], "split": "train"} for place in range(10)]
    labelled += [{"text": "the {end}", "label": "so-so", "split": "eval"}]
    rows = list(recast_labelled(labelled, ["good", "bad", "so-so"], seed=0))
    *taught, tested = rows
    assert [row["split"] for row in rows] == ["train"] * 10 + [UNSEEN_TEMPLATES]
    assert (tested["input"], tested["output"]) == ("the {end}", "so-so")
    assert tested["options"] == ["good", "bad", "so-so"]
    assert tested["template"] not in {row["template"] for row in taught}
    inverted = next(row for row in taught if row["wording"] == INVERTED)
    assert inverted["instruction"] in ("Write a text with the label good.", "Write a text with the label bad.")
    assert inverted["output"].startswith("text ")
    assert {row["source"] for row in rows} == {"labelled"}


# --- figures ---------------------------------------------------------------------------------------------------


def test_wilson_intervals_of_known_shares():
    # Newcombe 1998, table I: 81 of 263, and none of 20.
    assert wilson(81, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert wilson(0, 20) == pytest.approx([0, 0.1611], abs=5e-5)
    assert wilson(0, 0) is None


def answered(split: str, cluster: str, before: int, after: int, n: int):
    return [
        {
            "split": split,
            "cluster": cluster,
            "before": place < before,
            "after": place < after,
            "mentioned_before": place <= before,
            "mentioned_after": place < after,
        }
        for place in range(n)
    ]


def test_figures_by_split_and_cluster():
    found = compare(answered(UNSEEN_TASKS, "topic", 20, 5, 40) + answered(UNSEEN_TASKS, "lists", 10, 10, 10))
    tasks = found[UNSEEN_TASKS]
    assert (tasks["n"], tasks["before"], tasks["after"], tasks["difference"]) == (50, 0.6, 0.3, -0.3)
    low, high = tasks["difference_ci95"]  # sd of a mean of 50 changes, 15 of them -1: .065
    assert low == pytest.approx(-0.3 - 2 * 0.065, abs=0.03)
    assert high == pytest.approx(-0.3 + 2 * 0.065, abs=0.03)
    topic, lists = tasks["clusters"]
    assert (topic["cluster"], topic["before"], topic["after"]) == ("topic", 0.5, 0.125)
    assert (lists["cluster"], lists["difference"], lists["difference_ci95"]) == ("lists", 0, [0, 0])
    assert found[UNSEEN_TEMPLATES]["n"] == 0


def test_the_outcome_in_words():
    worse = compare(answered(UNSEEN_TASKS, "topic", 30, 10, 40))[UNSEEN_TASKS]
    assert "got worse, as FLAN saw" in in_words(UNSEEN_TASKS, worse)
    assert "75% right before, 25% after" in in_words(UNSEEN_TASKS, worse)
    assert "Right or at least mentioned: 78% before, 25% after." in in_words(UNSEEN_TASKS, worse)
    assert "FLAN" not in in_words(UNSEEN_TEMPLATES, worse)
    better = compare(answered(UNSEEN_TASKS, "topic", 10, 30, 40))[UNSEEN_TASKS]
    assert "Unseen tasks got better: 25% right before, 75% after" in in_words(UNSEEN_TASKS, better)
    same = compare(answered(UNSEEN_TASKS, "topic", 10, 11, 40))[UNSEEN_TASKS]
    assert "neither clearly better nor clearly worse" in in_words(UNSEEN_TASKS, same)
    assert in_words(UNSEEN_TASKS, compare([])[UNSEEN_TASKS]) == ""


def test_an_exact_match_minds_neither_case_nor_a_full_stop():
    assert same_answer(" Yes.", "yes")
    assert same_answer("好评。", "好评")
    assert not same_answer("yes, it is", "yes")
    assert not same_answer("", "yes")


def test_a_whole_sentence_may_mention_the_right_answer():
    assert mentions('The plural of "letter" is "Letters."', "letters")
    assert mentions("letters", "letters")
    assert not mentions("The letters", "letter")
    assert not mentions("254", "54")
    assert mentions("Es sind 54 (vierundfünfzig).", "54")
