"""Plain words: what a string is where no feature says otherwise."""

from __future__ import annotations

# No word is part of another, of a marker, a keyword or a schema keyword, so a text is found in a prompt by its
# word. None begins with b, f, n, r, t, u or x: after a backslash that would make an escape sequence.
_TEXT = """
    quartz amber jasper opal garnet onyx peridot kyanite spinel zircon gneiss schist dolomite gypsum cobalt
    copper silver iridium platinum osmium vanadium yttrium zinc palladium antimony mercury helium argon krypton
    juniper cedar willow maple hazel alder aspen acacia sequoia hemlock poplar hickory larch mahogany walnut olive
    mango papaya quince lychee guava apricot peach cherry damson elderberry kumquat lemon pomelo melon coconut
    almond cashew pistachio pecan chestnut macadamia anise cardamom cinnamon clove cumin ginger saffron paprika
    oregano lavender mint parsley sorrel yarrow chicory daisy dahlia hyacinth iris jonquil lilac lotus
    magnolia orchid pansy peony poppy primrose violet zinnia heather aster camellia crocus cyclamen
    albatross cormorant dove eagle egret gannet heron ibis jackdaw kestrel kingfisher lapwing magpie
    oriole osprey ostrich parrot pelican penguin plover puffin quail stork swallow swift vulture
    woodpecker wren alpaca antelope armadillo coyote cougar dingo dolphin echidna elk ermine gazelle gibbon giraffe
    gopher hedgehog hyena iguana impala jackal jaguar kangaroo koala lemming lemur leopard lynx manatee
    marmot meerkat mongoose moose ocelot okapi opossum orca otter panda panther platypus porcupine puma
    skunk squirrel stoat wallaby walrus weasel wombat yak zebra anchovy grouper haddock halibut
    lamprey mackerel marlin perch pike piranha pollock salmon sardine shark sole sturgeon cello clarinet dulcimer
    guitar harp kazoo mandolin oboe organ piccolo sitar viola zither
    glacier geyser canyon lagoon island meadow savanna estuary volcano plateau prairie
"""
WORDS = tuple(_TEXT.split())


class Words:
    """Words of one case, each given once (after all are used, with a letter more)."""

    __slots__ = ("_count", "_offset")

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._count = 0

    def next(self) -> str:
        """A word that this case has not used yet."""
        lap, index = divmod(self._count, len(WORDS))
        self._count += 1
        word = WORDS[(self._offset + index) % len(WORDS)]
        return word if not lap else f"{word}{chr(ord('a') + lap % 26)}{lap // 26 or ''}"

    def phrase(self) -> str:
        """Two words."""
        return f"{self.next()} {self.next()}"
