"""Templates and verbalizers, as somebody writes them."""

from __future__ import annotations

import pytest

from tests.tiny_model import tiny_tokenizer
from training.prompt_tuning.cloze import InvalidTemplate, InvalidVerbalizer, Template, Verbalizer, lint


def encode(text: str) -> list[int]:
    return tiny_tokenizer()(text, add_special_tokens=False).input_ids


def words_of(text: str) -> list[int]:
    """A tokenizer for reading tests: every word with the space before it is a token, every word without one is cut."""
    pieces = [f" {word}" for word in text.split(" ")]
    pieces[0] = pieces[0][1:]
    tokens: list[str] = []
    for piece in pieces:
        tokens += [piece] if piece.startswith(" ") or len(piece) < 4 else [piece[:3], piece[3:]]
    return [hash(token) for token in tokens if token]


def test_the_article_s_example():
    cloze = Template.parse("{text}, feel {mask}").render({"text": "This movie is great"})
    assert cloze.show("[MASK]") == "This movie is great, feel [MASK]"
    assert [part.text for part in cloze.before if part.may_be_cut] == ["This movie is great"]


def test_two_texts_options_and_braces():
    template = Template.parse("{text_a}\n{{same}} as {text_b}?\nOPTIONS:\n{options}\n{mask}!")
    cloze = template.render({"text_a": " One ", "text_b": "1"}, ["yes", "no"])
    assert cloze.show() == "One\n{same} as 1?\nOPTIONS:\n- yes\n- no\n____!"
    assert template.text_slots == ("text_a", "text_b")
    assert template.ends_with_mask
    assert not Template.parse("{mask}: {text}").ends_with_mask


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{text} is", "{mask} once, this one has it 0 times"),
        ("{text} {mask} {mask}", "2 times"),
        ("It was {mask}", "Where does the text go"),
        ("{txt} {mask}", "There is no slot {txt}"),
        ("{text.__class__} {mask}", "There is no slot {text.__class__}"),
        ("{text} {text_a} {mask}", "not both"),
        ("{text_b} {mask}", "{text_a}"),
        ("{text} {text} {mask}", "{text} stands in the template twice"),
        ("{text} } {mask}", "single } at character 8. Write }} for a brace"),
        ("{text} {mask} {", "single { at character 15"),
        ("{text}{mask}" + "x" * 2000, "at most 2000 characters"),
    ],
)
def test_what_is_wrong_is_said(body, says):
    with pytest.raises(InvalidTemplate) as refusal:
        Template.parse(body)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"good": ["great"]}, "two labels"),
        ({"good": "great", "bad": "awful"}, "a list of words"),
        *(
            ({"good": ["great"], "bad": odd}, "'bad' needs a list of words")
            for odd in (None, 5, True, {}, [1], [None], [{}])
        ),
        ({"good": ["great"], "bad": [" "]}, "'bad' has no word"),
        ({"good": ["great", "fine"], "bad": ["fine"]}, "'fine' stands for 'good' and for 'bad'"),
    ],
)
def test_a_verbalizer_maps_labels_to_words(words, says):
    with pytest.raises(InvalidVerbalizer) as refusal:
        Verbalizer(words)
    assert says in str(refusal.value)


def messages(words: dict[str, list[str]], body: str, **options) -> list[tuple[str, str, str]]:
    found = lint(Verbalizer(words), Template.parse(body), options.pop("encode", words_of), **options)
    return [(finding.severity, finding.word, finding.message) for finding in found]


def test_single_words_behind_a_space_are_clean():
    assert messages({"good": ["great"], "bad": ["terrible"]}, "{text} It was {mask}") == []


def test_a_missing_space_is_named():
    found = messages({"good": ["great"], "bad": ["terrible"]}, "{text}\n{mask}", masked=True)
    assert [(severity, word) for severity, word, _ in found] == [("warning", "great"), ("warning", "terrible")]
    assert all("put a space before {mask}" in message for *_, message in found)


def test_a_word_of_several_tokens_is_named():
    (found,) = messages({"good": ["very good"], "bad": ["terrible"]}, "{text} It was {mask}")
    assert found[:2] == ("warning", "very good")
    assert "2 tokens" in found[2]


def test_words_that_begin_alike():
    shared = messages({"good": ["very good"], "bad": ["very bad"]}, "{text} It was {mask}")
    assert ("warning", "very bad") in [found[:2] for found in shared]
    assert any("share their first token" in message for *_, message in shared)
    inside = messages({"good": ["not"], "bad": ["not good"]}, "{text} It was {mask}")
    assert [found[:2] for found in inside if found[0] == "error"] == [("error", "not good")]
    # Two words for one label may begin as they like.
    assert not [f for f in messages({"good": ["not", "not bad"], "bad": ["poor"]}, "{text} {mask}") if f[0] == "error"]


def test_an_unknown_word_is_an_error():
    found = messages({"good": ["great"], "bad": ["bad"]}, "{text} {mask}", unknown=hash(" bad"))
    assert [message[:2] for message in found] == [("error", "bad")]


def test_a_real_tokenizer_melts_a_word_into_what_stands_before():
    found = messages({"good": ["good"], "bad": ["bad"]}, "{text} It is{mask}", encode=encode)
    assert all(severity == "warning" for severity, *_ in found)
    assert messages({"good": ["good"], "other": ["the"]}, "{text} a {mask}", encode=encode) == []


def test_chinese_words_of_several_tokens():
    found = messages({"财经": ["财经"], "体育": ["体育"]}, "{text} 这是{mask}新闻", encode=encode)
    assert {severity for severity, *_ in found} == {"warning"}
    assert any("tokens" in message for *_, message in found)


def test_a_causal_model_needs_the_mask_last():
    found = messages({"good": ["good"], "bad": ["bad"]}, "{mask}! {text}")
    assert ("error", "") in [message[:2] for message in found]
    assert "error" not in [
        severity for severity, *_ in messages({"good": ["good"], "bad": ["bad"]}, "{mask}! {text}", masked=True)
    ]
