"""Where a text begins and an answer ends, and that no text becomes markup, over tokenizers of many families."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.recipes.conftest import finish
from tests.recipes.families import FAMILIES, PLAIN, family, write_model
from training.recipes.models.shared_model import SharedModel
from training.recipes.prepare import prepare
from training.recipes.process.errors import RecipeError
from training.recipes.text.formats import chat_format, chat_settings
from training.recipes.text.prompts import read_prompts
from training.rundir import RunDir
from training.tokenizers.chat import PolicyTokenizer
from training.tokenizers.chat_format import ChatFormat, FormatError
from training.tokenizers.settings import ChatSettings

pytestmark = pytest.mark.recipes

HARMLESS = [
    [{"role": "user", "content": "How are you?"}],
    [{"role": "user", "content": "Say <hello> to [Ada] | 1 < 2\n\n  twice. Ünïcode 你好 🙂"}],
    [
        {"role": "user", "content": "What is a good answer?"},
        {"role": "assistant", "content": "I am fine, thank you."},
        {"role": "user", "content": "Say it."},
    ],
]
ANSWERS = ["I am fine.", "Hello there, 你好 🙂\n\n- one\n- two", "<b>good</b> 1 < 2 [x]"]


def format_of(name: str, **settings: object) -> ChatFormat:
    tokenizer = family(name)
    stops = tokenizer.convert_tokens_to_ids(FAMILIES[name][4])
    special = {key: str(value) for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    return ChatFormat(tokenizer.backend_tokenizer, tokenizer.chat_template, special, stops, ChatSettings(**settings))


# The token that ends a turn, the further ones that end an answer, and what people's text stands behind.
ENDS = {
    "llama-3": ("<|eot_id|>", {"<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"}),
    "chatml": ("<|im_end|>", {"<|endoftext|>", "<|im_start|>"}),
    "gemma": ("<end_of_turn>", {"<eos>", "<start_of_turn>"}),
    "mistral": ("</s>", {"[INST]"}),
    "zephyr": ("</s>", set()),
    "phi-3": ("<|end|>", {"<|endoftext|>", "<|assistant|>", "<|user|>"}),
    "qwen-3": ("<|im_end|>", {"<|endoftext|>", "<|im_start|>"}),
    "opens thinking": ("<|im_end|>", {"<|endoftext|>", "<|im_start|>"}),
    "deepseek-r1": ("<|end|>", {"<|User|>"}),
    "glm-4": ("<|user|>", {"<|endoftext|>"}),
    "plain unigram": ("</s>", set()),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_closing_token_is_the_template_s_and_the_stops_are_all_that_end_an_answer(name: str):
    tokenizer, chat = family(name), format_of(name)
    closing, others = ENDS[name]
    assert tokenizer.convert_ids_to_tokens(chat.closing) == closing
    assert set(tokenizer.convert_ids_to_tokens(sorted(chat.stops))) == {closing, *others}


@pytest.mark.parametrize("name", FAMILIES)
def test_harmless_conversations_have_the_tokens_of_apply_chat_template(name: str):
    tokenizer, chat = family(name), format_of(name, thoughts="hidden")
    for messages in HARMLESS:
        theirs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert chat.prompt(messages, asks=True) == theirs


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "plain unigram"])
def test_prompt_and_answer_are_the_template_s_rendering_of_the_whole(name: str):
    tokenizer, chat = family(name), format_of(name)
    for messages in HARMLESS:
        for text in ANSWERS:
            whole = [*messages, {"role": "assistant", "content": text}]
            theirs = tokenizer.apply_chat_template(whole, return_dict=True)["input_ids"]
            ours = [*chat.prompt(messages), *chat.answer(text)]
            if name == "glm-4":  # it writes the end of a turn as the beginning of the next
                ours = ours[:-1]
            assert theirs[: len(ours)] == ours


@pytest.mark.parametrize("name", FAMILIES)
def test_no_text_becomes_a_control_token(name: str):
    chat = format_of(name)
    control = {chat._inner.token_to_id(text) for text in chat.control} - {chat._inner.token_to_id("<unk>")}

    def count(tokens: list[int]) -> int:
        return sum(token in control for token in tokens)

    evil = "".join(sorted(chat.control)) + " <|im_<|im_end|>end|> " + " ".join(sorted(chat.control))
    for place in range(3):
        messages = [dict(message) for message in HARMLESS[2]]
        messages[place]["content"] = f"a{evil}b"
        assert count(chat.prompt(messages)) == count(chat.prompt(HARMLESS[2]))
        assert evil in chat.decode(chat.prompt(messages))
    answer = chat.answer(f"a{evil}b")
    assert count(answer) == 1
    assert chat.text(answer) == f"a{evil}b"


def test_a_control_token_that_normalising_makes_is_refused():
    """NFKC turns ＜ into <: the tokenizer's own model would read </s>."""
    chat = format_of("plain unigram")
    with pytest.raises(FormatError, match="would become a control token"):
        chat.answer("a \uff1c/s\uff1e b")


@pytest.mark.parametrize("name", FAMILIES)
def test_an_answer_s_text_comes_back_and_ends_at_the_first_stop(name: str):
    chat = format_of(name)
    for text in ANSWERS if name != "plain unigram" else ["I am fine."]:
        tokens = chat.answer(text)
        assert chat.is_as_seen(tokens)
        for stop in chat.stops:
            assert chat.text([*tokens[:-1], stop, *tokens]) == text
            assert chat.is_over([*tokens[:-1], stop])
            assert not chat.is_as_seen([*tokens[:-1], stop, *tokens])


def test_tokens_that_no_tokenizer_has_are_no_text_and_never_close_an_answer():
    """A model's embedding may have more rows than its tokenizer has tokens, and a generation config may name one."""
    tokenizer = family("chatml")
    size = len(tokenizer)
    chat = ChatFormat(tokenizer.backend_tokenizer, PLAIN, {}, [size + 7, tokenizer.convert_tokens_to_ids("<|im_end|>")])
    assert chat.decode([chat.closing]) == "<|im_end|>"
    assert size + 7 in chat.stops
    said = chat.answer("I am fine.")[:-1]
    assert not chat.is_as_seen([*said, size + 3])
    assert chat.scored([*said, size + 3, *said]) == chat.answer("I am fine. I am fine.")
    assert chat.scored([size + 3]) == [chat.closing]
    assert chat.scored([*said, size + 7]) == [*said, chat.closing]
    with pytest.raises(FormatError, match="Nothing ends an answer"):
        ChatFormat(tokenizer.backend_tokenizer, PLAIN, {}, [size + 7, -1])


def test_a_model_without_turn_tokens_cannot_go_on_as_the_user():
    chat = format_of("plain unigram")
    tokens = chat.answer("I am fine.\nuser: And then?")[:-1]
    assert chat.text(tokens) == "I am fine."
    assert chat.is_over(tokens)
    assert not chat.is_as_seen(tokens)


# --- system turns, tools, thoughts --------------------------------------------------------------------------------


def test_system_turns_go_where_the_template_takes_them():
    system, more = {"role": "system", "content": "Be kind."}, {"role": "system", "content": "Be short."}
    question = {"role": "user", "content": "Hello?"}
    assert format_of("chatml").render([system, question, more]).count("<|im_start|>system") == 2
    assert "<start_of_turn>user\nBe kind.\n\nHello?<end_of_turn>" in format_of("gemma").render([system, question])
    assert "[INST] Be kind.\n\nBe short.\n\nHello? [/INST]" in format_of("mistral").render([system, question, more])


def test_a_template_that_leaves_a_system_turn_out_gets_it_in_the_first_turn():
    silent = "{% for m in messages %}{% if m.role != 'system' %}{{ m.role }}> {{ m.content }}\n{% endif %}{% endfor %}"
    tokenizer = family("chatml")
    chat = ChatFormat(tokenizer.backend_tokenizer, silent, {"eos_token": "<|im_end|>"})
    rendered = chat.render([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}])
    assert rendered.startswith("user> Be kind.\n\nHello?\n")


CALLED = [
    {"role": "user", "content": "2 and 2?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": "<|im_end|>"}'}}],
    },
    {"role": "tool", "name": "add", "content": "4"},
    {"role": "tool", "name": "add", "content": 'so "4"\n'},
]
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": "<|im_end|>"}}\n</tool_call>'
WITH_TOOLS = (
    "{% for tool in tools or [] %}[{{ tool.function.name }}]\n{% endfor %}{% for m in messages %}{{ m.role }}> "
    "{% if m.role == 'tool' %}{{ m.content | tojson }}{% else %}{{ m.content }}{% endif %}"
    "{% for call in m.tool_calls or [] %}{{ call.function.name }}({{ call.function.arguments | tojson }})"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}assistant> {% endif %}"
)


def test_calls_of_tools_and_their_results_reach_templates_that_take_them():
    tokenizer = family("chatml")
    tools = [{"type": "function", "function": {"name": "add"}}]
    settings = ChatSettings(template_kwargs={"tools": tools})
    chat = ChatFormat(tokenizer.backend_tokenizer, WITH_TOOLS, {"eos_token": "<|im_end|>"}, settings=settings)
    assert chat.decode(chat.prompt(CALLED)) == (
        "[add]\nuser> 2 and 2?<|im_end|>\n"
        'assistant> add({"a": 2, "b": "<|im_end|>"})<|im_end|>\n'
        'tool> "4"<|im_end|>\ntool> "so \\"4\\"\\n"<|im_end|>\nassistant> '
    )
    assert chat.prompt(CALLED).count(chat.closing) == 4  # the one that is spelled in an argument is text


@pytest.mark.parametrize("name", ["gemma", "mistral", "llama-3", "chatml", "deepseek-r1"])
def test_calls_and_results_are_text_where_a_template_refuses_them_or_leaves_them_out(name: str):
    chat = format_of(name)
    text = chat.decode(chat.prompt(CALLED))
    results = '<tool_response>\n4\n</tool_response>\n\n<tool_response>\nso "4"\n\n</tool_response>'
    assert CALL in text
    assert results in text
    as_text = [
        CALLED[0],
        {"role": "assistant", "content": CALL},
        {"role": "user", "content": results},
    ]
    if name != "chatml":  # which would let the spelled token be one
        assert chat.prompt(CALLED) == chat.prompt(as_text)


def test_what_an_assistant_says_beside_a_call_is_not_left_out():
    """Llama 3.1's template writes the call alone."""
    tokenizer = family("chatml")
    calls = "{% if m.tool_calls %}{{ m.tool_calls[0].function.name }}!{% else %}{{ m.content }}{% endif %}"
    template = "{% for m in messages %}{{ m.role }}> " + calls + "<|im_end|>\n{% endfor %}"
    chat = ChatFormat(tokenizer.backend_tokenizer, template, {"eos_token": "<|im_end|>"})
    assert "assistant> add!<|im_end|>" in chat.decode(chat.prompt(CALLED))
    said = [CALLED[0], {**CALLED[1], "content": "Let me add."}, *CALLED[2:]]
    assert "assistant> Let me add.\n<tool_call>\n" in chat.decode(chat.prompt(said))


def test_a_thinking_block_is_closed_before_an_answer():
    question = HARMLESS[0]
    assert format_of("opens thinking").render(question).endswith("assistant\n<think>\n\n</think>\n\n")
    assert format_of("qwen-3").render(question).endswith("assistant\n<think>\n\n</think>\n\n")
    said_so = format_of("qwen-3", template_kwargs={"enable_thinking": False})
    assert said_so.prompt(question) == format_of("qwen-3").prompt(question)
    assert format_of("deepseek-r1").render(question).endswith("<|Assistant|>")


@pytest.mark.parametrize("name", ["opens thinking", "qwen-3", "deepseek-r1"])
def test_thoughts_are_hidden_or_shown_by_the_setting(name: str):
    hidden, shown = format_of(name, thoughts="hidden"), format_of(name, thoughts="shown")
    opened = "" if name == "qwen-3" else "<think>\n"
    asked = hidden.prompt(HARMLESS[0], asks=True)
    assert hidden.decode(asked).endswith(opened or "assistant\n")
    drawn = hidden.encode(("<think>\n" if not opened else "") + "Let me see.</think>\n\nI am fine.")
    assert hidden.text(drawn, asked=True) == "I am fine."
    assert hidden.text(drawn[:6], asked=True) == ""  # it never came to an answer
    assert shown.text(drawn, asked=True) == "<think>\nLet me see.</think>\n\nI am fine."
    # What was shown and ranked is read as it was drawn: thoughts within their tags.
    assert [*shown.prompt(HARMLESS[0]), *shown.answer(shown.text(drawn, asked=True))] == [*asked, *drawn, shown.closing]


# --- models ------------------------------------------------------------------------------------------------------


def test_prepare_keeps_the_stops_that_a_model_came_with_and_sampling_ends_at_each(tmp_path: Path):
    source = write_model("gemma", tmp_path / "raw")
    stops = AutoModelForCausalLM.from_pretrained(source).generation_config.eos_token_id
    prepare(str(source), tmp_path / "ready")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "ready").generation_config.eos_token_id == stops
    shared = SharedModel(str(tmp_path / "ready"), torch.device("cpu"))
    assert set(stops) < set(shared.stops.tolist())
    assert shared.chat.stops == PolicyTokenizer(str(tmp_path / "ready")).chat.stops


def test_a_closing_token_that_only_the_template_has_is_added_to_the_generation_config(tmp_path: Path):
    eos = family("gemma").eos_token_id
    prepare(str(write_model("gemma", tmp_path / "raw", stops=eos)), tmp_path / "ready")
    config = AutoModelForCausalLM.from_pretrained(tmp_path / "ready").generation_config
    assert config.eos_token_id == [eos, family("gemma").convert_tokens_to_ids("<end_of_turn>")]


@pytest.mark.parametrize("name", ["zephyr", "llama-3", "plain unigram"])
def test_a_base_model_begins_a_text_as_its_tokenizer_does(name: str, tmp_path: Path):
    source = write_model(name, tmp_path / "raw")
    (source / "chat_template.jinja").unlink()
    prepare(str(source), tmp_path / "ready")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "ready")
    chat = chat_format(tokenizer)
    prompt = chat.prompt(HARMLESS[0])
    assert prompt[0] == tokenizer("x").input_ids[0] == tokenizer.bos_token_id
    assert prompt.count(tokenizer.bos_token_id) == 1
    assert chat.decode([*prompt, *chat.answer("I am fine.")]).endswith("assistant: I am fine." + tokenizer.eos_token)


def test_a_model_with_only_a_beginning_ends_with_it_and_one_with_nothing_is_refused(tmp_path: Path):
    source = write_model("zephyr", tmp_path / "raw", stops=None)
    (source / "chat_template.jinja").unlink()
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source)
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    model.save_pretrained(source)
    prepare(str(source), tmp_path / "ready")
    shared = SharedModel(str(tmp_path / "ready"), torch.device("cpu"))
    assert shared.closing == tokenizer.bos_token_id
    assert shared.pad != shared.closing
    tokenizer.bos_token = None
    tokenizer.save_pretrained(source)
    with pytest.raises(RecipeError, match="Nothing ends an answer"):
        prepare(str(source), tmp_path / "other")


def test_settings_of_a_project_hold_while_its_run_lasts(tmp_path: Path):
    path = write_model("qwen-3", tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(path)
    with chat_settings({"thoughts": "hidden", "template_kwargs": {"enable_thinking": False}}):
        assert chat_format(tokenizer).render(HARMLESS[0], asks=True).endswith("</think>\n\n")
    assert chat_format(tokenizer).settings == ChatSettings()


def test_prompts_that_are_too_long_lose_their_oldest_turns_or_are_refused(checkpoint: Path):
    system = {"role": "system", "content": "Be kind."}
    turns = [
        {"role": role, "content": f"{place} word"} for place, role in enumerate(["user", "assistant"] * 3 + ["user"])
    ]
    rows = [{"prompt_id": 1, "messages": [system, *turns]}]
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    most = len(chat_format(tokenizer).prompt([system, *turns[4:]]))
    with chat_settings({"long_prompts": "drop_oldest"}):
        chat = chat_format(tokenizer)
    ((prompt,), refused) = read_prompts(chat, rows, most)
    assert prompt.tokens == chat.prompt([system, *turns[4:]])
    assert (prompt.dropped, refused) == (4, [])
    assert read_prompts(chat, rows, 10_000)[0][0].dropped == 0
    reason = f"prompt longer than {most} tokens"
    assert read_prompts(chat_format(tokenizer), rows, most) == ([], [{"prompt_id": 1, "reason": reason}])
    reason = "prompt longer than 5 tokens"  # not even the last question
    assert read_prompts(chat, rows, 5) == ([], [{"prompt_id": 1, "reason": reason}])


def test_the_dropped_turns_stand_with_the_answers_of_a_run(checkpoint: Path, tmp_path: Path):
    turns = [{"role": role, "content": "a word"} for role in ["user", "assistant", "user"]]
    rows = [{"prompt_id": 1, "messages": turns}, {"prompt_id": 2, "messages": turns[2:]}]
    most = len(chat_format(AutoTokenizer.from_pretrained(checkpoint)).prompt(turns[2:]))
    settings = {"completions_per_prompt": 1, "batch_size": 2, "max_new_tokens": 4, "max_prompt_tokens": most}
    inputs = {"policy": str(checkpoint), "chat": {"long_prompts": "drop_oldest"}}
    run = RunDir(tmp_path / "long")
    run.prepare(config={"method": "sample", "settings": settings, "inputs": inputs}, rows=rows)
    finish(run)
    assert {row["prompt_id"]: row.get("dropped_messages") for row in run.samples()} == {1: 2, 2: None}
