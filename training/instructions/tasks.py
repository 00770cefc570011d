"""Small tasks made by rule: as many examples as wanted, each right by construction. The project ships no foreign data.

Every task has several templates: questions, orders, with the options spelled out, and inverted (the answer is given and
the text is asked for). When clusters are held out, all tasks of a cluster are held out together.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.instructions import words
from training.instructions.rule_task import Example, RuleTask, Wording

YES_NO = ("yes", "no")
QUESTION, ORDER, OPTIONS, INVERTED = "interrogative", "imperative", "options", "inverted"


def _wordings(
    *,
    ask: tuple[str, str],
    order: tuple[str, str],
    options: str = "",
    inverted: str = "",
    input: str = "{text}",
    gives: str = "{text}",
) -> tuple[Wording, ...]:
    """Return two questions and two orders, and where the task has them a wording with options and an inverted one."""
    made = [Wording(f"question-{place}", QUESTION, text, input) for place, text in enumerate(ask, 1)]
    made += [Wording(f"order-{place}", ORDER, text, input) for place, text in enumerate(order, 1)]
    if options:
        made.append(Wording("options-1", OPTIONS, options + "\n{options}", input))
    if inverted:
        made.append(Wording("inverted-1", INVERTED, inverted, "", gives))
    return tuple(made)


# --- sentences -------------------------------------------------------------------------------------------------


def _sentiment(dice: Random) -> Example:
    answer = dice.choice(("positive", "negative"))
    thing, aside = dice.choice(words.PRAISED), dice.choice(words.ASIDES)
    said = dice.choice(words.GOOD if answer == "positive" else words.BAD)
    return Example({"text": f"{aside} {thing} {said}."}, answer)


def _topic(dice: Random) -> Example:
    answer = dice.choice(list(words.TOPICS))
    first, second = dice.sample(words.TOPICS[answer], 2)
    return Example({"text": f"{first} {second}"}, answer)


def _same_meaning(dice: Random) -> Example:
    """Return a pair in active and passive voice; a different meaning has another agent or object."""
    answer = dice.choice(YES_NO)
    who, other = dice.sample(words.NAMES, 2)
    told, another = dice.sample(words.ACTIONS, 2)
    by, retold = who, told
    if answer == "no":
        by, retold = dice.choice(((other, told), (who, another)))
    (verb, _, thing), (_, done, thing_done) = told, retold
    be = "are" if thing_done.endswith("s") else "is"
    text = f"1. {who} {verb} {thing}.\n2. {thing_done[0].upper()}{thing_done[1:]} {be} {done} by {by}."
    return Example({"text": text}, answer)


def _who_has(dice: Random) -> Example:
    people, things = dice.sample(words.NAMES, 3), dice.sample(words.THINGS, 3)
    asked = dice.randrange(3)
    text = " ".join(f"{person} has {thing}." for person, thing in zip(people, things, strict=True))
    return Example({"text": text, "thing": things[asked]}, people[asked])


def _day_named(dice: Random) -> Example:
    day, other = dice.sample(words.DAYS, 2)
    who, event = dice.choice(words.NAMES), dice.choice(("meeting", "concert", "exam", "party", "lesson", "match"))
    forms = (
        f"{who} writes that the {event} is on {day}, not on {other}.",
        f"The {event} was planned for {other}, but {who} has moved it to {day}.",
        f"On {other} {who} is away, so the {event} takes place on {day}.",
    )
    return Example({"text": dice.choice(forms), "event": event}, day)


# --- words -----------------------------------------------------------------------------------------------------


def _from_pairs(pairs: tuple[tuple[str, str], ...]) -> Callable[[Random], Example]:
    def make(dice: Random) -> Example:
        word, answer = dice.choice(pairs)
        return Example({"text": word}, answer)

    return make


def _from_classes(classes: dict[str, tuple[str, ...]]) -> Callable[[Random], Example]:
    def make(dice: Random) -> Example:
        answer = dice.choice(list(classes))
        return Example({"text": dice.choice(classes[answer])}, answer)

    return make


# --- lists and numbers -----------------------------------------------------------------------------------------


def _nouns(dice: Random, count: int) -> list[str]:
    return dice.sample([noun for nouns in words.CATEGORIES.values() for noun in nouns], count)


def _sort_words(dice: Random) -> Example:
    nouns = _nouns(dice, dice.randint(3, 4))
    return Example({"text": ", ".join(nouns)}, ", ".join(sorted(nouns)))


def _odd_one_out(dice: Random) -> Example:
    usual, odd = dice.sample(list(words.CATEGORIES), 2)
    stranger = dice.choice(words.CATEGORIES[odd])
    listed = [*dice.sample(words.CATEGORIES[usual], 3), stranger]
    dice.shuffle(listed)
    return Example({"text": ", ".join(listed)}, stranger)


def _in_list(dice: Random) -> Example:
    answer = dice.choice(YES_NO)
    listed = _nouns(dice, 5)
    word = listed.pop() if answer == "no" else dice.choice(listed[:4])
    return Example({"text": ", ".join(listed[:4]), "word": word}, answer)


def _count_items(dice: Random) -> Example:
    count = dice.randint(2, 7)
    return Example({"text": ", ".join(_nouns(dice, count))}, words.in_words(count))


def _sum(dice: Random) -> Example:
    first, second = dice.randint(1, 12), dice.randint(1, 12)
    return Example({"text": f"{words.in_words(first)} and {words.in_words(second)}"}, words.in_words(first + second))


def _digits(dice: Random) -> Example:
    number = dice.randint(10, 99)
    return Example({"text": words.in_words(number)}, str(number))


def _larger(dice: Random) -> Example:
    first, second = dice.sample(range(10, 1000), 2)
    return Example({"text": f"{first} and {second}"}, str(max(first, second)))


def _taller(dice: Random) -> Example:
    """Return an example about three people in a row, which asks about two that are not compared directly."""
    answer = dice.choice(YES_NO)
    tallest, middle, shortest = dice.sample(words.NAMES, 3)
    said = [f"{tallest} is taller than {middle}.", f"{middle} is taller than {shortest}."]
    dice.shuffle(said)
    one, other = (tallest, shortest) if answer == "yes" else (shortest, tallest)
    return Example({"text": " ".join(said), "one": one, "other": other}, answer)


# --- the tasks -------------------------------------------------------------------------------------------------

TASKS: tuple[RuleTask, ...] = (
    RuleTask(
        "sentiment",
        "sentiment",
        _sentiment,
        _wordings(
            ask=("Is this review positive or negative?", "What does the writer think of it: positive or negative?"),
            order=("Say whether the review is positive or negative.", "Label the opinion as positive or negative."),
            options="How does the writer feel?",
            inverted="Write a {answer} review in one sentence.",
        ),
        ("positive", "negative"),
    ),
    RuleTask(
        "topic",
        "topic",
        _topic,
        _wordings(
            ask=(
                "What is this about: sport, weather, cooking or money?",
                "Which topic do these sentences have: sport, weather, cooking or money?",
            ),
            order=(
                "Name the topic: sport, weather, cooking or money.",
                "Sort the text under sport, weather, cooking or money.",
            ),
            options="What is the text about?",
            inverted="Write two sentences about {answer}.",
        ),
        tuple(words.TOPICS),
    ),
    RuleTask(
        "category",
        "topic",
        _from_classes(words.CATEGORIES),
        _wordings(
            ask=(
                "What kind of thing is this?",
                "Is it an animal, a fruit, a tool, an instrument, a vehicle or a garment?",
            ),
            order=("Name the category of the noun.", "Say in one word what kind of thing the word stands for."),
            options="Which category does the word belong to?",
        ),
        tuple(words.CATEGORIES),
    ),
    RuleTask(
        "same_meaning",
        "paraphrase",
        _same_meaning,
        _wordings(
            ask=(
                "Do the two sentences mean the same, yes or no?",
                "Is sentence 2 another way of saying sentence 1, yes or no?",
            ),
            order=(
                "Say yes if both sentences say the same, otherwise no.",
                "Decide, yes or no, whether 2 is a paraphrase of 1.",
            ),
            options="Do both sentences tell of the same event?",
        ),
        YES_NO,
    ),
    RuleTask(
        "who_has",
        "question answering",
        _who_has,
        _wordings(
            ask=("Who has {thing}?", "According to the text, who owns {thing}?"),
            order=("Name the person who has {thing}.", "Find out whose {thing} is, and give the name only."),
        ),
    ),
    RuleTask(
        "day_named",
        "extraction",
        _day_named,
        _wordings(
            ask=("On which day is the {event}?", "When does the {event} take place?"),
            order=("Give the day of the {event}.", "Pick out the weekday on which the {event} takes place."),
            options="On which day is the {event}?",
            inverted="Write a sentence which says that the {event} takes place on {answer}.",
        ),
        words.DAYS,
    ),
    RuleTask(
        "plural",
        "grammar",
        _from_pairs(words.PLURALS),
        _wordings(
            ask=("What is the plural of this noun?", "What do you call several of them?"),
            order=("Give the plural.", "Put the noun into the plural."),
            inverted="Of which noun is {answer} the plural?",
        ),
    ),
    RuleTask(
        "past_tense",
        "grammar",
        _from_pairs(words.PASTS),
        _wordings(
            ask=("What is the past tense of this verb?", "Which form of the verb follows 'Yesterday I'?"),
            order=("Give the simple past.", "Put the verb into the past tense."),
            inverted="Of which verb is {answer} the past tense?",
        ),
    ),
    RuleTask(
        "opposite",
        "definitions",
        _from_pairs(words.OPPOSITES),
        _wordings(
            ask=("What is the opposite of this word?", "Which word means the contrary?"),
            order=("Give the opposite.", "Name a word with the opposite meaning."),
            inverted="{answer} is the opposite of which word?",
        ),
    ),
    RuleTask(
        "language",
        "translation",
        _from_classes(words.LANGUAGES),
        _wordings(
            ask=(
                "Which language is this word: English, German, French or Spanish?",
                "In which language do people say this?",
            ),
            order=("Name the language of the word.", "Say whether it is English, German, French or Spanish."),
            options="Which language is the word from?",
        ),
        tuple(words.LANGUAGES),
    ),
    RuleTask(
        "sort_words",
        "ordering",
        _sort_words,
        _wordings(
            ask=("What is the alphabetical order of these words?", "How would a dictionary order these words?"),
            order=("Sort the words alphabetically.", "Put these words into the order of the alphabet."),
        ),
    ),
    RuleTask(
        "odd_one_out",
        "lists",
        _odd_one_out,
        _wordings(
            ask=("Which word does not belong with the others?", "Which is the odd one out?"),
            order=("Name the word that does not fit.", "Find the one that is of another kind than the rest."),
        ),
    ),
    RuleTask(
        "in_list",
        "lists",
        _in_list,
        _wordings(
            ask=("Is {word} in the list, yes or no?", "Does the list contain {word}, yes or no?"),
            order=("Say yes if the list contains {word}, otherwise no.", "Check, yes or no, whether {word} is listed."),
            options="Is {word} one of them?",
        ),
        YES_NO,
    ),
    RuleTask(
        "count_items",
        "arithmetic",
        _count_items,
        _wordings(
            ask=("How many words are in the list?", "What is the number of things here, as a word?"),
            order=("Count the things and write the number as a word.", "Give the number of items in words."),
            inverted="Write a list of {answer} nouns.",
        ),
        words.NUMBERS[2:8],
    ),
    RuleTask(
        "sum",
        "arithmetic",
        _sum,
        _wordings(
            ask=("What do these numbers make together?", "How much is the sum?"),
            order=("Add the numbers and answer in words.", "Give the sum as a word."),
        ),
    ),
    RuleTask(
        "digits",
        "format",
        _digits,
        _wordings(
            ask=("How is this number written in digits?", "Which digits stand for this number?"),
            order=("Write the number in digits.", "Turn the words into digits."),
            inverted="Write {answer} in words.",
        ),
    ),
    RuleTask(
        "larger_number",
        "comparison",
        _larger,
        _wordings(
            ask=("Which number is larger?", "Which of the two is more?"),
            order=("Give the larger number.", "Pick the greater of the two."),
        ),
    ),
    RuleTask(
        "taller",
        "comparison",
        _taller,
        _wordings(
            ask=(
                "Is {one} taller than {other}, yes or no?",
                "Does it follow, yes or no, that {one} is taller than {other}?",
            ),
            order=(
                "Say yes if {one} is taller than {other}, otherwise no.",
                "Decide, yes or no, whether {one} is the taller of the two.",
            ),
            options="Is {one} taller than {other}?",
        ),
        YES_NO,
    ),
)
