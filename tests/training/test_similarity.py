"""ROUGE-L by hand, what is refused and why, and what a model wrote read back as a task."""

from __future__ import annotations

import random

import pytest

from training.instructions.form import Unparsed, draw, parse, request, written
from training.instructions.heuristics import REASONS, Proposed, refused_by
from training.instructions.seeds import seed_tasks
from training.instructions.similarity import NEAR_DUPLICATE, Pool, tokens


def rouge_l(first: str, second: str) -> float:
    """Return what a pool that holds one text says of another, rounded to 4 digits; 0 where nothing is in common."""
    return next((similar.score for similar in Pool([("0", first)]).most_similar(second)), 0.0)


@pytest.mark.parametrize(
    ("first", "second", "f1"),
    [
        # "name … color": 3 of 4 and 5 words in common, in order: 2 · 3 / 9.
        ("Name a red color", "Name one color that's red", 2 * 2 / (4 + 6)),
        ("the cat sat", "the cat sat", 1.0),
        ("police killed the gunman", "police kill the gunman", 3 / 4),
        ("police killed the gunman", "the gunman kill police", 2 / 4),
        ("把句子翻译成英文", "请把句子翻译成中文", 2 * 7 / (8 + 9)),
        ("Translate 猫 into English", "translate 狗 into english", 3 / 4),
        ("one", "two", 0.0),
        ("", "two", 0.0),
    ],
)
def test_rouge_l_by_hand(first, second, f1):
    assert rouge_l(first, second) == pytest.approx(f1, abs=1e-4)
    assert rouge_l(second, first) == pytest.approx(f1, abs=1e-4)


def test_words_are_folded_and_punctuation_is_no_word():
    assert tokens("Sort, these WORDS: straße!") == ("sort", "these", "words", "strasse")
    assert tokens("猫が好き") == ("猫", "が", "好", "き")


def test_no_seed_task_would_be_refused_or_be_a_near_duplicate():
    pool = Pool()
    for task in seed_tasks():
        assert refused_by(Proposed(task.instruction, task.input, task.output)) == ""
        assert [similar for similar in pool.most_similar(task.instruction, 1) if similar.score >= NEAR_DUPLICATE] == []
        pool.add(task.id, task.instruction)


def longest_common(first, second):
    """By the definition, slowly."""
    if not first or not second:
        return 0
    if first[-1] == second[-1]:
        return 1 + longest_common(first[:-1], second[:-1])
    return max(longest_common(first[:-1], second), longest_common(first, second[:-1]))


def test_bits_count_what_the_definition_counts():
    dice = random.Random(1)
    for _ in range(60):
        a, b = (tuple(dice.choice("abc") for _ in range(dice.randint(1, 7))) for _ in range(2))
        f1 = 2 * longest_common(a, b) / (len(a) + len(b))
        assert rouge_l(" ".join(a), " ".join(b)) == pytest.approx(f1, abs=1e-4)


def test_the_pool_finds_the_most_similar_first_and_leaves_out_what_shares_nothing():
    pool = Pool([("seed:a", "Name three fruits"), ("seed:b", "Write a poem"), ("proposal:7", "Name three big fruits")])
    found = pool.most_similar("Name three fruits that are big", count=2)
    # 3 of 3 and 6 words: 6/9. "name three fruits" of 4 and 6: 6/10.
    assert [(similar.id, similar.score) for similar in found] == [("seed:a", 0.6667), ("proposal:7", 0.6)]
    assert pool.most_similar("Unrelated entirely") == []
    assert pool.most_similar("???") == []


def test_the_length_bound_loses_nothing():
    dice = random.Random(2)
    texts = [" ".join(dice.choice("abcdef") for _ in range(dice.randint(1, 20))) for _ in range(300)]
    pool = Pool((str(number), text) for number, text in enumerate(texts))
    asked = "a b c d e f a b"
    best = sorted((rouge_l(asked, text) for text in texts), reverse=True)[:5]
    assert [similar.score for similar in pool.most_similar(asked)] == pytest.approx(best, abs=1e-4)


GOOD = Proposed("Name the capital of France.", "", "Paris")


@pytest.mark.parametrize(
    ("task", "code"),
    [
        (GOOD, ""),
        (Proposed("Write the word in capital letters.", "tree", "TREE"), ""),
        (Proposed("把下面的句子翻译成英文。", "我喜欢茶。", "I like tea."), ""),
        (Proposed('Translate the quoted word into German: "猫和狗都喜欢"', "", "Katze"), ""),
        (Proposed("“Good morning”: say it in French.", "", "Bonjour"), ""),
        (Proposed("Greet me.", "", "Hello!"), "too_short"),
        (Proposed("word " * 151, "", "x"), "too_long"),
        (Proposed("Say yes to this.", "", "one two three four five " * 201), "too_long"),
        (Proposed("- List three animals", "", "cat, dog, cow"), "odd_start"),
        (Proposed("3 animals that can fly", "", "bat"), "odd_start"),
        (Proposed("Describe the image in a sentence", "", "A cat."), "beyond_text"),
        (Proposed("描述这张图片的内容。", "", "一只猫"), "beyond_text"),
        (Proposed("Write one more task of this kind", "", "Sing"), "repeats_prompt"),
        (Proposed("Name a bird", "", "Wren", examples=frozenset({("Name a bird", "")})), "repeats_prompt"),
        (Proposed("Tell me about the sea", "", "The sea is", finished=False), "unfinished"),
        (Proposed("Tell me about the sea", "", "  "), "no_output"),
        (Proposed("Correct the sentence", "He go home.", "He go  home."), "output_is_input"),
        (Proposed("Say hello to everyone", "", "Say hello to everyone"), "output_is_instruction"),
        (Proposed("Tell me a story", "", "and then he ran " * 5), "loops"),
        (Proposed("Write a short sentence 用中文写一句话", "", "好"), "mixed_scripts"),
    ],
)
def test_what_is_refused_and_why(task, code):
    assert refused_by(task) == code
    assert code == "" or REASONS[code]


SORT = {"id": "seed:sort", "instruction": "Sort the words.", "input": "b a", "output": "a b"}
CAPITAL = {"id": "proposal:4", "instruction": "Name the capital of France.", "input": "", "output": "Paris"}


@pytest.mark.parametrize("task", [SORT, CAPITAL])
def test_a_task_survives_being_written_and_read(task):
    assert parse(written(task)) == {name: task[name] for name in ("instruction", "input", "output")}


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("**Instruction:** Add.\n**Input:** 1 2\n**Output:** 3", ("Add.", "1 2", "3")),
        ("Task 9:\nInstruction: Add.\nOutput: 3\n\nTask 10:\nInstruction: Take away.\nOutput: 1", ("Add.", "", "3")),
        ("Name a colour.\nInput: None\nOutput: Red\nor blue", ("Name a colour.", "", "Red\nor blue")),
        ("instruction：说一种颜色\ninput：<noinput>\noutput：红", ("说一种颜色", "", "红")),
    ],
)
def test_what_models_write_instead(text, task):
    assert tuple(parse(text).values()) == task


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \n", "empty"),
        ("Input: a\nOutput: b", "no_instruction"),
        ("Instruction: Sing a song", "no_output"),
        ("I cannot do that.", "no_output"),
        ("Instruction: Sing\nInput: x\nOutput:", "no_output"),
    ],
)
def test_what_is_no_task(text, reason):
    with pytest.raises(Unparsed, match=reason):
        parse(text)


def test_the_request_shows_the_examples_as_turns():
    messages = request([SORT, CAPITAL])
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert messages[1]["content"] == "Instruction: Sort the words.\nInput: b a\nOutput: a b"
    assert messages[3]["content"] == "Instruction: Name the capital of France.\nInput: (none)\nOutput: Paris"


def test_seeds_stand_in_where_the_pool_has_too_few():
    seeds = [{**SORT, "id": f"seed:{number}"} for number in range(20)]
    drawn = draw([*seeds, CAPITAL], seeds=6, pool=2, random=random.Random(1))
    ids = [task["id"] for task in drawn]
    assert len(ids) == len(set(ids)) == 8
    assert ids.count("proposal:4") == 1
    assert draw([*seeds, CAPITAL], seeds=6, pool=2, random=random.Random(1)) == drawn
