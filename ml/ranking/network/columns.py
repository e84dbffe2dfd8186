"""Raw columns of an Arrow table as the arrays that the network reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from .features import FeatureSpec
from .fingerprints import Fingerprints, fingerprint, sequence_fingerprints
from .number_inputs import Floats


@dataclass(frozen=True)
class Encoded:
    """The columns of some rows.

    Attributes:
        fingerprints: int64 (rows, categorical features).
        numbers: float32 (rows, numeric features). Missing is NaN.
        sequences: for each sequence feature the fingerprints of its distinct sequences (sequences, LONGEST), and which of
            them is each row's, int32 (rows,).
    """

    fingerprints: Fingerprints
    numbers: Floats
    sequences: Sequence[tuple[Fingerprints, npt.NDArray[np.int32]]]

    def batch(self, rows: slice) -> "Encoded":
        """The columns of these rows, with the sequences that they need."""
        sequences = []
        for fingerprints, sequence_of in self.sequences:
            distinct, position = np.unique(sequence_of[rows], return_inverse=True)
            sequences.append((fingerprints[distinct], position.astype(np.int32)))
        return Encoded(self.fingerprints[rows], self.numbers[rows], sequences)


def encode(table: pa.Table, spec: FeatureSpec, where: str) -> Encoded:
    """Reads the columns of `spec`. Each distinct string is hashed once, because strings cost most of the time.

    Raises ValueError, with `where` as its beginning, for a missing column and for one that cannot be read as text or number.
    """
    spec.check_columns(table.column_names, where)
    fingerprints = np.empty((table.num_rows, len(spec.categorical)), np.int64)
    for position, name in enumerate(spec.categorical):
        text = strings(table[name], name, where)
        fingerprints[:, position] = fingerprint(_distinct(text)).numpy()[text.indices.to_numpy()]
    values = np.empty((table.num_rows, len(spec.numeric)), np.float32)
    for position, name in enumerate(spec.numeric):
        values[:, position] = numbers(table[name], name, where)
    sequences = []
    for feature in spec.sequences:
        text = strings(table[feature.name], feature.name, where)
        sequences.append((sequence_fingerprints(_distinct(text)).numpy(), text.indices.to_numpy().astype(np.int32)))
    return Encoded(fingerprints, values, sequences)


def strings(column: pa.ChunkedArray, name: str, where: str) -> pa.DictionaryArray:
    """A column as dictionary-encoded strings. Null becomes the empty string."""
    try:
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).fill_null("").dictionary_encode()
        encoded = column.unify_dictionaries().combine_chunks()
        if encoded.null_count:
            indices = encoded.indices.cast(pa.int32()).fill_null(len(encoded.dictionary))
            encoded = pa.DictionaryArray.from_arrays(indices, pa.concat_arrays([encoded.dictionary, pa.array([""])]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(
            f"{where}: column '{name}' is {column.type}, which cannot be read as text ({error}). Cast it in the mart"
        ) from error
    return encoded


def numbers(column: pa.ChunkedArray, name: str, where: str) -> Floats:
    """A column as float32 (rows,). Null becomes NaN, and a flag 0 or 1."""
    try:
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        values: Floats = column.cast(pa.float64()).to_numpy().astype(np.float32)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(
            f"{where}: numeric feature '{name}' is {column.type}, which cannot be read as a number ({error}). "
            "Cast it in the mart, or declare it `feature: categorical`"
        ) from error
    return values


def _distinct(text: pa.DictionaryArray) -> tf.Tensor:
    return tf.constant(text.dictionary.to_numpy(zero_copy_only=False), tf.string)
