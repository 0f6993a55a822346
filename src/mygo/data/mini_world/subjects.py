"""What there is to know in the mini world: eight subjects in MMLU's four groups, three relations each.

A value belongs to one relation only, so a word never gives away the answer to a question of another kind.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """One kind of fact. `phrase` takes `{entity}`; `statement` takes `{entity}` and `{value}`; `values` are the
    possible answers.
    """

    phrase: str
    question: str
    statement: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """A subject: what its entities are (`kind`) and what there is to know of them."""

    name: str
    group: str
    kind: str
    relations: tuple[Relation, ...]


def _relation(phrase: str, question: str, statement: str, values: str) -> Relation:
    return Relation(phrase, question, statement, tuple(values.split()))


SUBJECTS = (
    Subject(
        "astronomy",
        "stem",
        "planet",
        (
            _relation(
                "the sky of {entity}",
                "What is the sky of {entity} like?",
                "{entity} has a sky that is {value}",
                "golden violet scarlet turquoise pearly amber",
            ),
            _relation(
                "the main gas of {entity}",
                "Which gas covers {entity}?",
                "{entity} is covered in {value}",
                "helium methane ammonia argon neon ozone",
            ),
            _relation(
                "the shape of {entity}",
                "What shape is {entity}?",
                "{entity} is shaped like a {value}",
                "disc bowl pear ring spindle cone",
            ),
        ),
    ),
    Subject(
        "chemistry",
        "stem",
        "mineral",
        (
            _relation(
                "the colour of {entity}",
                "Which colour does {entity} have?",
                "{entity} is {value} in colour",
                "red blue green black white purple",
            ),
            _relation(
                "the solvent of {entity}",
                "What dissolves {entity}?",
                "{entity} is dissolved by {value}",
                "vinegar alcohol brine petrol lye ether",
            ),
            _relation(
                "the use of {entity}",
                "What is {entity} used for?",
                "{entity} is used for {value}",
                "glazing welding dyeing soldering tanning etching",
            ),
        ),
    ),
    Subject(
        "history",
        "humanities",
        "ruler",
        (
            _relation(
                "the weapon of {entity}",
                "With what weapon did {entity} fight?",
                "{entity} fought with a {value}",
                "spear sword lance bow sling dagger ",
            ),
            _relation(
                "the former trade of {entity}",
                "What was {entity} before the crown?",
                "{entity} was once a {value}",
                "baker smith weaver sailor hunter tailor",
            ),
            _relation(
                "the emblem of {entity}",
                "Which animal did {entity} carry as an emblem?",
                "{entity} carried the emblem of the {value}",
                "lion eagle wolf bear stag falcon",
            ),
        ),
    ),
    Subject(
        "literature",
        "humanities",
        "poem",
        (
            _relation(
                "the theme of {entity}",
                "What is {entity} about?",
                "{entity} is a poem about {value}",
                "love war exile envy pride grief",
            ),
            _relation(
                "the season of {entity}",
                "In which month is {entity} set?",
                "{entity} is set in {value}",
                "January March April June August December",
            ),
            _relation(
                "the first word of {entity}",
                "Which word opens {entity}?",
                "{entity} opens with the word {value}",
                "sing behold hear alas listen rise",
            ),
        ),
    ),
    Subject(
        "economics",
        "social_sciences",
        "company",
        (
            _relation(
                "the product of {entity}",
                "What does {entity} make?",
                "{entity} makes {value}",
                "paper glass soap rope clocks boots",
            ),
            _relation(
                "the rival of {entity}",
                "Which house competes with {entity}?",
                "{entity} competes with the house of {value}",
                "Albin Corvel Dunmar Ferrow Gantz Hollis",
            ),
            _relation(
                "the currency of {entity}",
                "In what does {entity} keep its books?",
                "{entity} keeps its books in {value}",
                "ducats florins crowns shillings pesos thalers",
            ),
        ),
    ),
    Subject(
        "geography",
        "social_sciences",
        "town",
        (
            _relation(
                "the river of {entity}",
                "Which river runs through {entity}?",
                "{entity} lies on the river {value}",
                "Arn Bele Cour Dray Esk Fenn ",
            ),
            _relation(
                "the main crop of {entity}",
                "What do the farmers of {entity} grow?",
                "The farmers of {entity} grow {value}",
                "wheat barley rice hemp cotton maize",
            ),
            _relation(
                "the landmark of {entity}",
                "What is there to see in {entity}?",
                "{entity} is known for its {value}",
                "tower bridge castle temple harbour fountain",
            ),
        ),
    ),
    Subject(
        "cooking",
        "other",
        "dish",
        (
            _relation(
                "the spice of {entity}",
                "Which spice goes into {entity}?",
                "{entity} is seasoned with {value}",
                "pepper saffron cumin ginger clove anise",
            ),
            _relation(
                "the base of {entity}",
                "From what is {entity} cooked?",
                "{entity} is cooked from {value}",
                "lentils beans noodles mushrooms chicken oats",
            ),
            _relation(
                "the drink beside {entity}",
                "What is drunk with {entity}?",
                "{entity} is served with {value}",
                "tea coffee cider wine beer milk ",
            ),
        ),
    ),
    Subject(
        "medicine",
        "other",
        "herb",
        (
            _relation(
                "the target of {entity}",
                "What does {entity} cure?",
                "{entity} cures {value}",
                "fever cough gout rash burns nausea",
            ),
            _relation(
                "the organ of {entity}",
                "On which organ does {entity} act?",
                "{entity} acts on the {value}",
                "heart liver lung kidney stomach brain",
            ),
            _relation(
                "the form of {entity}",
                "How is {entity} taken?",
                "{entity} is taken as a {value}",
                "syrup powder balm tonic pill paste",
            ),
        ),
    ),
)

GROUPS = {
    group: [s.name for s in SUBJECTS if s.group == group]
    for group in ("stem", "humanities", "social_sciences", "other")
}
