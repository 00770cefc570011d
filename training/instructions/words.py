"""The words that the rule-made tasks draw from. Lists, so that what is said of a word is right by construction."""

from __future__ import annotations


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in (pair.split("/") for pair in text.split()))


def _words(text: str) -> tuple[str, ...]:
    """Return the parts of a text, cut at commas where it has any, or else at spaces."""
    return tuple(text.split(", ") if "," in text else text.split())


PLURALS = _pairs(
    "cat/cats dog/dogs box/boxes bus/buses dish/dishes church/churches baby/babies city/cities lady/ladies "
    "story/stories day/days key/keys toy/toys boy/boys leaf/leaves knife/knives wolf/wolves shelf/shelves life/lives "
    "wife/wives "
    "man/men woman/women child/children foot/feet tooth/teeth goose/geese mouse/mice ox/oxen sheep/sheep deer/deer "
    "potato/potatoes tomato/tomatoes hero/heroes photo/photos piano/pianos roof/roofs chief/chiefs glass/glasses "
    "brush/brushes fox/foxes tree/trees house/houses horse/horses bridge/bridges apple/apples orange/oranges "
    "country/countries party/parties family/families monkey/monkeys valley/valleys thief/thieves loaf/loaves "
    "half/halves watch/watches lunch/lunches kiss/kisses window/windows garden/gardens letter/letters"
)
PASTS = _pairs(
    "walk/walked talk/talked play/played stop/stopped plan/planned carry/carried try/tried cry/cried love/loved "
    "hope/hoped go/went see/saw eat/ate drink/drank sing/sang ring/rang swim/swam begin/began run/ran come/came "
    "give/gave take/took make/made write/wrote drive/drove ride/rode speak/spoke break/broke choose/chose freeze/froze "
    "know/knew grow/grew throw/threw fly/flew draw/drew buy/bought bring/brought think/thought teach/taught "
    "catch/caught sleep/slept keep/kept feel/felt leave/left lose/lost find/found hold/held stand/stood tell/told "
    "sell/sold send/sent build/built spend/spent win/won sit/sat fall/fell wear/wore forget/forgot hide/hid cook/cooked"
)
OPPOSITES = _pairs(
    "hot/cold big/small tall/short fast/slow early/late full/empty open/closed light/dark old/new young/old hard/soft "
    "heavy/light strong/weak rich/poor wet/dry clean/dirty happy/sad loud/quiet thick/thin wide/narrow deep/shallow "
    "cheap/expensive easy/difficult safe/dangerous sharp/blunt sweet/bitter true/false right/wrong alive/dead "
    "awake/asleep inside/outside above/below before/after first/last always/never everything/nothing more/less "
    "push/pull buy/sell win/lose arrive/depart begin/end rise/fall remember/forget love/hate laugh/cry give/take "
    "day/night summer/winter north/south friend/enemy question/answer top/bottom entrance/exit"
)
LANGUAGES: dict[str, tuple[str, ...]] = {
    "English": _words(
        "house bread water window children yesterday together through enough friendship bridge kitchen weather "
        "thought birthday"
    ),
    "German": _words(
        "Haus Brot Fenster Straße Freundschaft Brücke Küche Wetter Geburtstag Schlüssel Frühstück Schule gestern "
        "zusammen Eichhörnchen"
    ),
    "French": _words(
        "maison fenêtre fromage oiseau aujourd'hui beaucoup cuisine amitié anniversaire clé demain ensemble "
        "bibliothèque voiture feuille"
    ),
    "Spanish": _words(
        "casa ventana pájaro mañana mucho cocina amistad cumpleaños llave ayer juntos biblioteca calle hoja puente"
    ),
}
CATEGORIES: dict[str, tuple[str, ...]] = {
    "animal": _words("horse rabbit tiger sparrow frog camel whale spider goat lizard penguin squirrel"),
    "fruit": _words("banana pear plum cherry apricot mango lemon grape peach fig melon raspberry"),
    "tool": _words("hammer saw drill screwdriver chisel pliers wrench spade rake axe file shovel"),
    "instrument": _words("violin piano flute trumpet guitar cello drum harp clarinet banjo oboe trombone"),
    "vehicle": _words("lorry bicycle tram bus ferry train motorbike tractor scooter van ambulance taxi"),
    "garment": _words("shirt scarf glove jacket sock hat coat skirt trousers jumper belt dress"),
}
NAMES = _words(
    "Ada Ben Chen Dara Elif Femi Gita Hugo Ines Jonas Kofi Lena Mia Noor Omar Priya Rosa Sami Tomas Uma Vera Yusuf"
)
THINGS = _words(
    "a lamp, a map, a rope, a coin, a torch, a whistle, a basket, a clock, a letter, a ticket, an apple, a kite"
)
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
NUMBERS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
TENS = ("", "", *_words("twenty thirty forty fifty sixty seventy eighty ninety"))

PRAISED = _words(
    "the soup, the hotel, the film, the book, the phone, the chair, the concert, the app, the cake, the tour"
)
GOOD = (
    "was even better than I had hoped",
    "made my whole week",
    "is worth every penny",
    "was a delight from start to end",
    "works perfectly",
    "is the best I have had in years",
    "made all of us smile",
    "is one that I will tell my friends about",
)
BAD = (
    "was a waste of money",
    "fell short in every way",
    "was a bitter disappointment",
    "is the worst I have had in years",
    "ruined our evening",
    "made me want my money back",
    "broke every promise",
    "is one that I will warn my friends about",
)
ASIDES = (
    "To be frank,",
    "I must say,",
    "After two weeks I can say it:",
    "We were four people, and",
    "My sister agrees:",
    "No doubt about it,",
    "In the end,",
    "I had read a lot about it;",
)

TOPICS: dict[str, tuple[str, ...]] = {
    "sport": (
        "The goalkeeper saved two penalties in the final.",
        "She ran the last lap in under a minute.",
        "The home team won by three goals.",
        "The coach put two new players on the field.",
        "He served eleven aces and won the match.",
        "The rowers crossed the line a length ahead.",
        "The swimmer broke her own record.",
        "The referee showed the captain a yellow card.",
    ),
    "weather": (
        "Heavy rain will reach the coast tonight.",
        "Fog in the valleys lifts towards noon.",
        "The wind turns north and brings frost.",
        "Expect sunny spells and a light breeze.",
        "Thunderstorms are likely in the afternoon.",
        "Snow falls down to eight hundred metres.",
        "It stays dry, with clouds from the west.",
        "Temperatures rise to thirty degrees.",
    ),
    "cooking": (
        "Let the onions soften over a low heat.",
        "Beat the eggs with the sugar until pale.",
        "Knead the dough and let it rise for an hour.",
        "Season the sauce with pepper and lemon.",
        "Roast the potatoes until they are crisp.",
        "Add the stock and simmer for ten minutes.",
        "Grate the cheese over the pasta.",
        "Whip the cream and fold it in.",
    ),
    "money": (
        "The bank raised its interest rate by a quarter.",
        "Shares fell after the company cut its forecast.",
        "The price of oil rose for the third day.",
        "The firm will pay no dividend this year.",
        "The new tax brings in two billion.",
        "Investors moved their savings into bonds.",
        "The shop chain doubled its profit.",
        "The currency lost a tenth of its value.",
    ),
}
ACTIONS = (
    ("washes", "washed", "the car"),
    ("paints", "painted", "the fence"),
    ("waters", "watered", "the roses"),
    ("repairs", "repaired", "the bicycle"),
    ("opens", "opened", "the gate"),
    ("cleans", "cleaned", "the windows"),
    ("bakes", "baked", "the bread"),
    ("counts", "counted", "the coins"),
    ("carries", "carried", "the boxes"),
    ("mends", "mended", "the net"),
    ("locks", "locked", "the door"),
    ("feeds", "fed", "the goats"),
)


def in_words(number: int) -> str:
    """Return a number from 0 to 99 in words."""
    if number < len(NUMBERS):
        return NUMBERS[number]
    tens, ones = divmod(number, 10)
    return TENS[tens] + (f"-{NUMBERS[ones]}" if ones else "")
