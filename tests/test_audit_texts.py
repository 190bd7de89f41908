"""Features and surface of texts."""

import math

import numpy as np
import pytest
import spacy
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from spacy.language import Language
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from mitigate.misalignment import FrequentWordTagger, SpacyTagger, encoder_features, read_features, word_features
from mitigate.misalignment.encoders import mean_embeddings
from mitigate.misalignment.features import Features, map_features
from mitigate.misalignment.surface import surface_misalignment, surface_within_labels, tokenize

REAL = ["the nurse writes a letter", "the pilot reads", "a judge writes the law today"] * 4
AUGMENTED = ["renowned for dedication", "a passionate journey of excellence", "renowned for a journey"] * 4


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A folder with a tiny BERT and its tokenizer."""
    folder = tmp_path_factory.mktemp("encoder")
    words = sorted({word for text in [*REAL, *AUGMENTED] for word in text.split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *words])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=12,
    )
    BertModel(config).eval().save_pretrained(folder)
    return str(folder)


class TestFeatures:
    def test_words(self):
        features = word_features(REAL, AUGMENTED)
        assert features.real.shape[0] == 12 and features.real.dtype == np.float32
        assert np.linalg.norm(features.real, axis=1) == pytest.approx(1)
        assert "no encoder was named" in features.description
        # Equal texts have equal features, whichever side they are on.
        both = word_features(REAL, [*AUGMENTED, REAL[0]])
        assert both.augmented[-1] == pytest.approx(both.real[0], abs=1e-6)

    def test_no_words(self):
        with pytest.raises(ValueError, match="two different words"):
            word_features(["a a"] * 3, ["a"] * 3)

    def test_given(self, tmp_path):
        for name, rows in {"a": 4, "b": 3}.items():
            np.save(tmp_path / f"{name}.npy", np.ones((rows, 2), np.float32))
        features = read_features(tmp_path / "a.npy", tmp_path / "b.npy", (4, 3))
        assert isinstance(features.real, np.memmap) and features.description == "given embeddings of width 2"
        with pytest.raises(ValueError, match=r"b\.npy has 3 rows, and the table that it belongs to has 5"):
            read_features(tmp_path / "a.npy", tmp_path / "b.npy", (4, 5))

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.ones(4, np.float32), "one matrix"),
            (np.ones((4, 2), int), "floating-point"),
            (np.array([[1.0, np.nan]] * 4), "no finite number in row 1"),
            (np.array([[1.0, 2.0]] * 3 + [[1e25, 0.0]]), r"a\.npy holds a number of size 1e\+25 in row 4"),
            (np.array([{}]), "cannot be read"),
        ],
    )
    def test_given_badly(self, tmp_path, array, message):
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        np.save(tmp_path / "b.npy", np.ones((4, 2), np.float32))
        with pytest.raises(ValueError, match=message):
            read_features(tmp_path / "a.npy", tmp_path / "b.npy", (4, 4))
        with pytest.raises(ValueError, match=r"c\.npy cannot be read"):
            read_features(tmp_path / "c.npy", tmp_path / "b.npy", (4, 4))

    def test_map(self):
        # All variance in one direction, in which the sides lie apart.
        line = np.outer(np.arange(5.0), [3.0, 4.0]).astype(np.float32)
        places = map_features(Features(line, line + np.float32([30, 40]), "test"))
        assert places.explained == pytest.approx((1, 0), abs=1e-6)
        assert len(places.real) == len(places.augmented) == 5
        first = sorted(abs(x) for x, _ in (*places.real, *places.augmented))
        assert max(first) - min(first) == pytest.approx(20, abs=1e-3)

    def test_map_of_one_feature_and_of_unequal_sides(self):
        places = map_features(Features(np.ones((500, 1), np.float32), np.zeros((3, 1), np.float32), "test"))
        assert len(places.real) == len(places.augmented) == 3


class TestEncoder:
    def test_mean_over_tokens(self, encoder, monkeypatch):
        monkeypatch.setattr("mitigate.misalignment.encoders.find_spec", lambda name: None)
        features = encoder_features(encoder, REAL, AUGMENTED, batch_size=5)
        assert "mean over tokens" in features.description and "width 16" in features.description
        model = BertModel.from_pretrained(encoder).eval()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(encoder)
        for text, row in zip([*REAL[:3], *AUGMENTED[:3]], [*features.real[:3], *features.augmented[:3]], strict=True):
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            assert row == pytest.approx(hidden.mean(dim=0).detach().numpy(), abs=1e-5)

    def test_long_and_empty_texts(self, encoder):
        model, tokenizer = BertModel.from_pretrained(encoder), PreTrainedTokenizerFast.from_pretrained(encoder)
        rows = mean_embeddings(model.eval(), tokenizer, ["the nurse " * 50, ""])
        assert np.isfinite(rows).all() and not rows[1].any()

    def test_sentence_transformers_pool_as_the_model_says(self, encoder, tmp_path):
        body = Transformer(encoder)
        SentenceTransformer(modules=[body, Pooling(16, pooling_mode="max")], device="cpu").save(str(tmp_path / "max"))
        features = encoder_features(str(tmp_path / "max"), REAL[:2], AUGMENTED[:2])
        assert "by sentence-transformers" in features.description
        model, tokenizer = BertModel.from_pretrained(encoder).eval(), PreTrainedTokenizerFast.from_pretrained(encoder)
        hidden = model(**tokenizer(REAL[0], return_tensors="pt")).last_hidden_state[0]
        assert features.real[0] == pytest.approx(hidden.amax(dim=0).detach().numpy(), abs=1e-5)

    @pytest.mark.parametrize("installed", [True, False])
    def test_no_such_encoder(self, monkeypatch, installed):
        monkeypatch.setattr("mitigate.misalignment.encoders.find_spec", lambda name: installed or None)
        with pytest.raises(ValueError, match="The encoder 'nowhere' cannot be loaded"):
            encoder_features("nowhere", REAL, AUGMENTED)


class TestSurface:
    def test_tokens(self):
        assert tokenize("She's 42, isn’t she?") == ["She's", "42", ",", "isn’t", "she", "?"]

    def test_by_hand(self):
        result = surface_misalignment(["a b", "a b"], ["c c c", "c d"])
        assert result.texts == (2, 2) and result.length == (2.0, 2.5)
        assert result.length_difference.estimate == 0.5
        assert result.length_ks == 0.5
        assert result.words == pytest.approx(1)  # no word is on both sides
        # Four tokens of either side: a b a b, and c c c c or c d c c, by the order of the texts.
        assert result.tokens == 4 and result.distinct[0].real == 0.5
        assert result.distinct[1].real == 0.5  # ab, ab
        assert math.isnan(result.templates.real)  # no text has six tokens

    def test_identical_texts(self):
        result = surface_misalignment(REAL, REAL)
        assert result.length_ks == 0 and result.words == pytest.approx(0, abs=1e-7)
        assert result.length_difference.estimate == 0
        assert result.words < result.words_chance < 0.5

    def test_repeated_templates(self):
        rng = np.random.default_rng(0)
        varied = [" ".join(f"{'Xx'[k]}{i}" for k in rng.integers(0, 2, 12)) for i in range(400)]
        same = [f"the x{i} writes to the y{i} each day , and waits" for i in range(400)]
        result = surface_misalignment(varied, same)
        # Of the 100 most frequent words some come once, and stand in a few templates of their own.
        assert result.templates.augmented > 0.95 > 0.9 > result.templates.real
        assert "not parts of speech" in result.tags

    def test_the_order_of_rows_does_not_matter_where_all_are_read(self):
        there, back = surface_misalignment(REAL, AUGMENTED), surface_misalignment(REAL[::-1], AUGMENTED[::-1])
        assert (there.words, there.length, there.length_ks) == (back.words, back.length, back.length_ks)

    def test_labels_that_are_mixed_otherwise(self):
        # Short texts of one label and long ones of the other: three to one, and one to three.
        short, long = ["a b"], ["c d e f g h"]
        real, augmented = short * 60 + long * 20, short * 20 + long * 60
        labels = ["x"] * 60 + ["y"] * 20, ["x"] * 20 + ["y"] * 60
        pooled, within = surface_misalignment(real, augmented), surface_within_labels(real, augmented, labels)
        assert pooled.length == (3, 5) and pooled.length_ks == 0.5 and pooled.words > 0.3
        # Three quarters of the real rows are of the label of 2 words.
        assert within.length == (3, 3) and within.length_difference.estimate == 0
        assert within.length_ks == 0 and within.words == pytest.approx(0, abs=1e-7) and math.isnan(within.length_p)
        # Two and six different words among 40 and 120 tokens of either side; short texts have no template.
        assert [pair.real for pair in within.distinct] == pytest.approx(
            [0.75 * 2 / 40 + 0.25 * 6 / 120, 0.75 * 1 / 20 + 0.25 * 5 / 100, 4 / 80]
        )
        assert within.templates == (1, 1) and within.texts == (80, 80) and within.tokens == 160

    def test_difference_within_labels_by_hand(self):
        rng = np.random.default_rng(0)
        texts = [[" ".join(["w"] * n) for n in rng.integers(2, 9, 50) + more] for more in (0, 3, 0, 5)]
        labels = ["x"] * 50 + ["y"] * 50, ["x"] * 50 + ["y"] * 50
        within = surface_within_labels(texts[0] + texts[2], texts[1] + texts[3], labels)
        parts = [surface_misalignment(*texts[:2]), surface_misalignment(*texts[2:])]
        differences = [part.length_difference for part in parts]
        found = within.length_difference
        assert found.estimate == pytest.approx((differences[0].estimate + differences[1].estimate) / 2)
        assert found.half_width == pytest.approx(math.hypot(*(each.half_width for each in differences)) / 2)
        assert found.n == 200

    def test_no_label_with_ten_texts(self):
        assert surface_within_labels(REAL, AUGMENTED, (list("abcdefghijkl"), list("abcdefghijkl"))) is None

    def test_no_words(self):
        with pytest.raises(ValueError, match=r"the augmented side has 2 text\(s\) and 0 word\(s\)"):
            surface_misalignment(["a", "b"], ["", " "])


@Language.component("even_nouns")
def even_nouns(document):
    for token in document:
        token.pos_ = "NOUN" if token.i % 2 else "DET"
    return document


class TestTaggers:
    def test_frequent_words_and_shapes(self):
        tagger = FrequentWordTagger([["the", "The", "nurse"]] * 2 + [[f"w{i:03}"] for i in range(99)])
        # The 100 most frequent are `the`, `nurse` and, of equal counts, the first by the alphabet.
        assert tagger([["THE", "nurse", "w097", "w098", "Paul", "42", "!"]]) == [
            ["the", "nurse", "w097", "xx", "Xx", "9", "!"]
        ]

    def test_spacy(self):
        nlp = spacy.blank("en")
        nlp.add_pipe("even_nouns")
        tagger = SpacyTagger(nlp)
        assert tagger([["a", "b", "don't"], ["c"]]) == [["DET", "NOUN", "DET"], ["DET"]]
        result = surface_misalignment(["a b c d e f g h"] * 2, ["a b c d e f g h"] * 2, tagger=tagger)
        assert result.templates == (1.0, 1.0) and "parts of speech by spaCy" in result.tags

    def test_pipeline_without_parts_of_speech(self):
        with pytest.raises(ValueError, match="no parts of speech"):
            SpacyTagger(spacy.blank("en"))([["a"]])
