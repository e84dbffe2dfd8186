"""What an account likes, as a vector. Alike vectors are weak evidence that two accounts belong to one person."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import keras

DIMENSIONS = 16
FEWEST_EVENTS = 10  # a vector of fewer events shows chance rather than taste
ACCOUNTS_TO_LEARN_FROM = 20_000
BATCH, EPOCHS, LEARNING_RATE = 512, 12, 0.02
VECTORS = pa.schema([("product_id", pa.string()), ("rarity", pa.float32()), ("vector", pa.list_(pa.float32()))])


def learn_vectors(events: pa.Table, seed: int) -> pa.Table:
    """Product vectors, learned by a linear autoencoder over what accounts consumed (Liang et al. 2018, without its depth).

    The model sums an account's products into DIMENSIONS numbers, and predicts the products from these by a softmax. At most
    ACCOUNTS_TO_LEARN_FROM accounts teach, drawn by ``seed``.

    ``events`` has ``account`` and ``product_id`` (string). Returns VECTORS: ``rarity`` is the log of accounts by accounts
    with the product; empty where nobody has FEWEST_EVENTS products.
    """
    consumed = events.to_pandas().drop_duplicates()
    counts = consumed.groupby("account").size()
    teachers = counts[counts >= FEWEST_EVENTS].index.sort_values()
    if teachers.empty:
        return VECTORS.empty_table()
    rng = np.random.default_rng(seed)
    if len(teachers) > ACCOUNTS_TO_LEARN_FROM:
        teachers = teachers[np.sort(rng.choice(len(teachers), ACCOUNTS_TO_LEARN_FROM, replace=False))]
    consumed = consumed[consumed["account"].isin(teachers)]
    products = np.sort(consumed["product_id"].unique())  # a product of no teacher teaches nothing
    rows, columns = teachers.get_indexer(consumed["account"]), np.searchsorted(products, consumed["product_id"])
    rarity = np.log((1 + len(teachers)) / (1 + np.bincount(columns, minlength=len(products)))).astype(np.float32)
    vectors = _fit(rows, columns, len(teachers), len(products), seed)
    vectors -= np.average(vectors, axis=0, weights=np.bincount(columns, minlength=len(products)))
    return pa.table([pa.array(products), pa.array(rarity), pa.array(list(vectors))], schema=VECTORS)


def _fit(
    rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], accounts: int, products: int, seed: int
) -> npt.NDArray[np.float32]:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    model = _autoencoder(products)
    order = np.lexsort((columns, rows))
    rows, columns = rows[order], columns[order]
    starts = np.searchsorted(rows, np.arange(0, accounts + BATCH, BATCH))

    def batches() -> "tf.data.Dataset":
        for begin, end, first in zip(starts[:-1], starts[1:], range(0, accounts, BATCH), strict=False):
            basket = np.zeros((min(BATCH, accounts - first), products), dtype=np.float32)
            basket[rows[begin:end] - first, columns[begin:end]] = 1.0
            basket /= basket.sum(axis=1, keepdims=True)
            yield basket, basket

    data = tf.data.Dataset.from_generator(
        batches, output_signature=(tf.TensorSpec((None, products)), tf.TensorSpec((None, products)))
    )
    model.fit(data, epochs=EPOCHS, shuffle=False, verbose=0)
    vectors: npt.NDArray[np.float32] = model.get_layer("vectors").get_weights()[0]
    return vectors.copy()


def _autoencoder(products: int) -> "keras.Model":
    import keras

    basket = keras.Input((products,))
    interests = keras.layers.Dense(DIMENSIONS, use_bias=False, name="vectors")(basket)
    again = keras.layers.Dense(products, activation="softmax")(interests)
    model = keras.Model(basket, again)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss="categorical_crossentropy")
    return model


def account_interests(events: pa.Table, vectors: pa.Table) -> pa.Table:
    """Each account's interests: the mean vector of its products, weighted by rarity and scaled to length 1.

    ``events`` has ``platform``, ``id`` and ``product_id``. Returns ``platform``, ``id``, ``interests`` (list of float32), sorted,
    for accounts with at least FEWEST_EVENTS products that have a vector.
    """
    consumed = events.to_pandas().drop_duplicates()
    known = pd.Index(vectors["product_id"].to_numpy(zero_copy_only=False))
    at = known.get_indexer(consumed["product_id"])
    consumed, at = consumed[at >= 0], at[at >= 0]
    accounts = consumed.groupby(["platform", "id"], sort=True)
    groups, sizes = accounts.ngroup().to_numpy(), accounts.size()
    matrix = np.array(vectors["vector"].to_pylist(), dtype=np.float64)
    weight = vectors["rarity"].to_numpy().astype(np.float64)[at]
    order = np.lexsort((at, groups))
    first = np.searchsorted(groups[order], np.arange(len(sizes)))
    sums = np.add.reduceat(matrix[at[order]] * weight[order, None], first, axis=0)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    unit = (sums / np.where(length > 0, length, 1)).round(3).astype(np.float32)
    enough = (sizes.to_numpy() >= FEWEST_EVENTS) & (length[:, 0] > 0)
    index = sizes.index[enough]
    return pa.table(
        {
            "platform": pa.array(index.get_level_values(0), pa.string()),
            "id": pa.array(index.get_level_values(1), pa.string()),
            "interests": pa.array(list(unit[enough]), pa.list_(pa.float32())),
        }
    )


def alike_pairs(records: pa.Table, others: Collection[str], threshold: float) -> pa.Table:
    """Pairs of records of different platforms with a cosine of at least ``threshold``; of each record only its best pair.

    A pair is left out where one of the columns ``others`` is known on both sides, because that column compares them better.

    ``records`` has ``platform``, ``id``, ``interests`` (as :func:`account_interests` gives them, or null) and ``others``,
    sorted by platform and id. Returns ``platform_l, id_l, platform_r, id_r`` (l before r) and ``cosine``, sorted.
    Compares all with all, BATCH rows at a time.
    """
    records = records.filter(pc.is_valid(records["interests"]))
    platform, ids = (records[name].to_numpy(zero_copy_only=False) for name in ("platform", "id"))
    matrix = np.array(records["interests"].to_pylist(), dtype=np.float32).reshape(len(ids), -1 if len(ids) else 0)
    known = np.array([records[name].is_valid().to_numpy() for name in others]).reshape(len(others), len(ids))
    found = [pd.DataFrame({"one": [], "two": [], "cosine": []})]
    for first in range(0, len(ids), BATCH):
        cosine = matrix[first : first + BATCH] @ matrix.T
        cosine[platform[first : first + BATCH, None] == platform[None, :]] = -1.0
        best = cosine.argmax(axis=1)
        value = cosine[np.arange(len(best)), best]
        compared = (known[:, first : first + BATCH] & known[:, best]).any(axis=0)
        near = (value >= threshold) & ~compared
        found.append(pd.DataFrame({"one": np.flatnonzero(near) + first, "two": best[near], "cosine": value[near]}))
    pairs = pd.concat(found)
    low, high = (function(pairs["one"], pairs["two"]).astype(np.int64) for function in (np.minimum, np.maximum))
    once = (
        pd.DataFrame({"l": low, "r": high, "cosine": pairs["cosine"]})
        .drop_duplicates(["l", "r"])
        .sort_values(["l", "r"])
    )
    return pa.table(
        {
            "platform_l": pa.array(platform[once["l"]], pa.string()),
            "id_l": pa.array(ids[once["l"]], pa.string()),
            "platform_r": pa.array(platform[once["r"]], pa.string()),
            "id_r": pa.array(ids[once["r"]], pa.string()),
            "cosine": pa.array(once["cosine"], pa.float64()),
        }
    )


def precision_recall(records: pa.Table, prior: float, seed: int, others: int = 200_000) -> pa.Table:
    """How well interests alone find the same person: ``threshold`` of the cosine, ``precision``, ``recall`` (float64).

    Accounts of different platforms with the same e-mail token are the truth, and ``others`` random pairs are the false
    pairs. With recall r, share of false pairs f and ``prior`` p, precision is r·p / (r·p + f·(1 - p)).

    ``records`` has ``platform``, ``email_token`` and ``interests``. Empty where no two such accounts are known.
    """
    frame = records.select(["platform", "email_token", "interests"]).to_pandas()
    frame = frame[frame["interests"].notna()].reset_index(drop=True)
    known = frame[frame["email_token"].notna()].reset_index(names="row")
    same = known.merge(known, on="email_token", suffixes=("_l", "_r"))
    same = same[same["platform_l"] < same["platform_r"]]
    thresholds = np.arange(0.0, 1.0, 0.05)
    if same.empty:
        return pa.table({name: pa.array([], pa.float64()) for name in ("threshold", "precision", "recall")})
    matrix = np.array(frame["interests"].tolist(), dtype=np.float64)
    left, right = np.random.default_rng(seed).integers(0, len(frame), (2, others))
    apart = frame["platform"].to_numpy()[left] != frame["platform"].to_numpy()[right]
    chance = np.einsum("ij,ij->i", matrix[left[apart]], matrix[right[apart]])
    hits = np.einsum("ij,ij->i", matrix[same["row_l"]], matrix[same["row_r"]])
    recall = (hits[:, None] >= thresholds).mean(axis=0)
    false = np.maximum((chance[:, None] >= thresholds).mean(axis=0), 1 / len(chance))
    precision = recall * prior / (recall * prior + false * (1 - prior))
    return pa.table({"threshold": thresholds, "precision": precision, "recall": recall})
