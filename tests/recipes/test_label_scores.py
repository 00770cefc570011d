"""Filling blanks: batches, padding, words of several tokens, long texts, calibration."""

from __future__ import annotations

from math import exp, log
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from tests.architectures import build
from training.prompt_tuning.cloze import Template, Verbalizer
from training.recipes.models.label_scores import (
    CausalScorer,
    MaskedScorer,
    all_scores,
    batch_prior,
    calibrated,
    contextual_prior,
    scorer_for,
)
from training.recipes.text.prompts import Refused

pytestmark = pytest.mark.recipes

TEXTS = ["The sea is calm.", "A bad day.", "Write one sentence about the weather in spring and long walks."]


@pytest.fixture(scope="module")
def causal(checkpoint: Path):
    model = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    return model, AutoTokenizer.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def masked():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "good", "bad", "new", "##s", "it", "was", ".", "sea", "day"]
    tokenizer = Tokenizer(models.WordPiece({piece: id for id, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        unk_token="[UNK]",
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
        architectures=["BertForMaskedLM"],
    )
    return BertForMaskedLM(config).eval(), fast


def read(scorer, texts=TEXTS):
    return [scorer.read({"text": text}) for text in texts]


def one_by_one(model, before: list[int], word: list[int]) -> float:
    """Log-probability of a word after a text, token by token, without batches, padding or positions."""
    total, ids = 0.0, list(before)
    for token in word:
        with torch.no_grad():
            total += float(model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)[token])
        ids.append(token)
    return total


@pytest.mark.parametrize(
    "words", [{"yes": ["good"], "no": ["the"]}, {"yes": ["a good day"], "no": ["the"], "or": ["bad", "tea"]}]
)
def test_a_causal_model_s_scores_are_those_of_each_row_alone(causal, words):
    model, tokenizer = causal
    scorer = CausalScorer(model, tokenizer, Template.parse("{text} It was {mask}"), Verbalizer(words), 200)
    scores = all_scores(scorer, read(scorer), batch_size=3)
    for text, row in zip(TEXTS, scores, strict=True):
        before = tokenizer(f"{text} It was").input_ids
        for own, score in zip(words.values(), row.tolist(), strict=True):
            shares = [exp(one_by_one(model, before, tokenizer(f" {word}").input_ids)) for word in own]
            assert score == pytest.approx(log(sum(shares) / len(shares)), abs=1e-4)


@pytest.mark.parametrize("words", [{"yes": ["good"], "no": ["the"]}, {"yes": ["a good day"], "no": ["the"]}])
def test_a_causal_model_s_texts_begin_as_its_tokenizer_begins_them(tmp_path: Path, words: dict[str, list[str]]):
    """Base models are trained with BOS before every text."""
    folder = build(tmp_path, "llama", variant="bos")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    scorer = CausalScorer(model, tokenizer, Template.parse("{text} It was {mask}"), Verbalizer(words), 200)
    scores = all_scores(scorer, read(scorer), batch_size=3)
    for text, row in zip(TEXTS, scores, strict=True):
        before = tokenizer(f"{text} It was").input_ids
        assert before[0] == tokenizer.bos_token_id
        for own, score in zip(words.values(), row.tolist(), strict=True):
            word = tokenizer(f" {own[0]}", add_special_tokens=False).input_ids
            assert score == pytest.approx(one_by_one(model, before, word), abs=1e-4)
    # And there is room for it: a text that just fits is not cut, with BOS it is as long as the model reads.
    longest = len(tokenizer(f"{TEXTS[2]} It was").input_ids) + scorer.longest_word
    tight = CausalScorer(model, tokenizer, Template.parse("{text} It was {mask}"), Verbalizer(words), longest)
    assert [blank.cut for blank in read(tight)] == [0, 0, 0]
    less = CausalScorer(model, tokenizer, Template.parse("{text} It was {mask}"), Verbalizer(words), longest - 1)
    assert read(less)[2].cut > 0


def test_a_masked_model_reads_both_sides(masked):
    model, tokenizer = masked
    verbalizer = Verbalizer({"good": ["good"], "bad": ["bad", "news"]})
    scorer = scorer_for(
        model, tokenizer, Template.parse("{text} it was {mask}. {text_b}".replace("{text_b}", "day")), verbalizer, 64
    )
    assert isinstance(scorer, MaskedScorer)
    blanks = read(scorer, ["sea", "sea sea day"])
    scores = all_scores(scorer, blanks, batch_size=2)

    def at_masks(ids: list[int], wanted: list[int]) -> float:
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        places = [place for place, token in enumerate(ids) if token == 3]
        return sum(float(logprobs[place, token]) for place, token in zip(places, wanted, strict=True))

    # [CLS] sea it was [MASK] . day [SEP], and with two masks for "new ##s"
    one, two = [1, 12, 9, 10, 3, 11, 13, 2], [1, 12, 9, 10, 3, 3, 11, 13, 2]
    assert scores[0, 0] == pytest.approx(at_masks(one, [5]), abs=1e-4)
    bad, news = exp(at_masks(one, [6])), exp(at_masks(two, [7, 8]))
    assert scores[0, 1] == pytest.approx(log((bad + news) / 2), abs=1e-4)
    assert all_scores(scorer, blanks[:1], batch_size=1)[0].tolist() == pytest.approx(scores[0].tolist(), abs=1e-4)


def test_a_mask_written_into_a_text_is_no_blank(masked):
    model, tokenizer = masked
    scorer = MaskedScorer(
        model, tokenizer, Template.parse("{text} {mask}"), Verbalizer({"g": ["good"], "b": ["bad"]}), 64
    )
    assert tokenizer.mask_token_id not in scorer.read({"text": "sea [MASK] day"}).before


def test_only_the_text_is_cut(causal):
    model, tokenizer = causal
    template = Template.parse("Read: {text} It was {mask}")
    scorer = CausalScorer(model, tokenizer, template, Verbalizer({"yes": ["good"], "no": ["the"]}), 40)
    long, short = scorer.read({"text": "the sea is calm and " * 30}), scorer.read({"text": "the sea"})
    assert len(long.before) <= 39
    assert long.cut > 60
    assert short.cut == 0
    shown = tokenizer.decode(long.before)
    assert shown.startswith("Read: the sea is calm")
    assert shown.endswith(" It was")
    with pytest.raises(Refused, match="leaves room for less than 4 tokens"):
        CausalScorer(model, tokenizer, template, Verbalizer({"yes": ["good"], "no": ["the"]}), 12).read(
            {"text": "the sea is calm and good"}
        )


def test_calibration_by_hand():
    # A model that says "yes" to everything, with .9 and .8: taken off its average, the second row is a "no".
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2]]).log()
    prior = batch_prior(scores)
    assert prior.exp().tolist() == pytest.approx([0.72**0.5, 0.02**0.5])
    odds = calibrated(scores, prior).exp()
    assert odds[0].tolist() == pytest.approx([0.6, 0.4])  # odds 9 by √(.72/.02) = 6: 1.5
    assert odds[1].tolist() == pytest.approx([0.4, 0.6])  # odds 4 by 6: 2/3
    # The scale of the scores does not matter, only their differences.
    assert calibrated(scores - 7, prior).exp()[0].tolist() == pytest.approx([0.6, 0.4])


def test_content_free_texts_have_a_prior(causal):
    model, tokenizer = causal
    template = Template.parse("{text} It was {mask}")
    scorer = CausalScorer(model, tokenizer, template, Verbalizer({"yes": ["good"], "no": ["the"]}), 100)
    prior = contextual_prior(scorer, template, 8)
    before = [tokenizer(f"{text} It was").input_ids for text in ("", "N/A", "[MASK]")]
    odds = [
        one_by_one(model, ids, tokenizer(" good").input_ids) - one_by_one(model, ids, tokenizer(" the").input_ids)
        for ids in before
    ]
    assert float(prior[0] - prior[1]) == pytest.approx(sum(odds) / 3, abs=1e-3)
