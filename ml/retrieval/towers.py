"""Two towers, one for persons and one for products, whose vectors are compared by their dot product.

The tower of products adds an embedding of the product to the embeddings of its content: categories, decade, price, creators, and words
of its title and description. A product without interactions has only its content. The tower of persons encodes the newest products
of a person by attention to what they are and how old the interactions are. Both towers learn by a softmax over the products of a
batch. Each product's logit is corrected by how often the product is drawn (Yi et al. 2019, DOI 10.1145/3298689.3346996).
"""

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from ml.arrays import Floats, positions_in

DIMENSIONS = 32
HISTORY = 50
HALF_LIFE_DAYS = 14.0
EXAMPLES, BATCH_SIZE, LEARNING_RATE = 30_000, 512, 0.015
PRODUCT_DROPOUT = 0.3  # of the product's own embedding, so that content is learned too
TOKENS, TOKEN_ROWS = 64, 8_192
AGE_STEPS = 16  # steps of age that attention tells apart: up to about 600 days, on a logarithmic scale
VECTORS = pa.schema([("kind", pa.string()), ("id", pa.string()), ("vector", pa.list_(pa.float32(), DIMENSIONS + 1))])

_Ints = npt.NDArray[np.int32]


def towers(interactions: pa.Table, products: pa.Table, persons: pa.Array, seed: int = 0) -> pa.Table:
    """Vectors of products and persons. The better a person and a product fit, the larger the dot product of their vectors.

    An example is an interaction, and up to ``HISTORY`` other ones of the same person around it. All persons have the same total
    weight. A person's examples have weights that halve every ``HALF_LIFE_DAYS``. The same tables and the same number of TensorFlow
    threads give the same vectors.

    Args:
        interactions: positive ones: ``person_id``, ``product_id`` (string, each pair once), ``age_days`` (float, at least 0).
        products: ``product_id`` (string, once each), ``title``, ``description`` (string), ``creators``, ``categories`` (string,
            joined by ``|``), ``release_year`` (integer), ``price`` (float); all but the first may be null.
        persons: ids of those whose vectors are wanted (string, once each).
        seed: of the first weights and of the drawn examples.

    Returns:
        ``VECTORS``, each kind in order of ids: a row of kind ``product`` for each of ``products``, and a row of kind ``person`` for each
        of ``persons`` with an interaction. The last entry is the bias of a product, which depends on its popularity, and 1
        for a person. The other kinds are the weights that encode further persons and products (`_Towers.weights`). There are
        no rows where nobody has two interactions.
    """
    products = products.sort_by("product_id")
    names = products["product_id"].combine_chunks()
    interactions = interactions.filter(pc.is_in(interactions["product_id"], names))
    people = pc.unique(interactions["person_id"]).sort()
    person, product = positions_in(interactions["person_id"], people), positions_in(interactions["product_id"], names)
    age = interactions["age_days"].to_numpy().astype(np.float64)
    order = np.lexsort((product, -age, person))
    timelines = _Timelines(person[order], product[order].astype(np.int32), age[order], len(people))
    chance = timelines.chances()
    if not chance.any():
        return VECTORS.empty_table()
    frequency = np.bincount(timelines.product, chance, minlength=len(names))
    network = _Towers(_tokens(products), np.log(frequency + 0.1 / len(names)).astype(np.float32), seed)
    draws = np.random.default_rng(seed)
    drawn = draws.choice(len(chance), size=EXAMPLES, p=chance)
    histories, ages = timelines.around(drawn, draws.integers(0, HISTORY, size=len(drawn)))
    network.learn(histories, ages, timelines.product[drawn] + 1)

    known = persons.filter(pc.is_in(persons, people)).sort()
    of_persons = network.of_all_persons(timelines, positions_in(known, people))
    tables = [_table("product", names, network.of_products()), _table("person", known, of_persons)]
    for kind, weights in network.weights().items():
        ids = pa.array([f"{row:05}" for row in range(len(weights))])
        tables.append(_table(kind, ids, np.c_[weights, np.zeros(len(weights), np.float32)]))
    return pa.concat_tables(tables)


def _table(kind: str, ids: pa.Array, vectors: npt.NDArray[np.float32]) -> pa.Table:
    """Rows of ``VECTORS``."""
    listed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSIONS + 1)
    return pa.table([pa.repeat(kind, len(ids)), ids, listed], VECTORS)


def _tokens(products: pa.Table) -> tf.RaggedTensor:
    """For each product the rows of its content's embeddings, 1 to TOKENS of them: hashes of the words that describe it."""

    def texts(name: str) -> tf.Tensor:
        return _text(products[name].fill_null(""))

    def several(name: str) -> tf.RaggedTensor:
        split = tf.strings.split(texts(name), "|")
        return tf.ragged.boolean_mask(split, split != "")

    def floored(values: pa.ChunkedArray) -> tf.RaggedTensor:
        whole = pc.floor(values).cast(pa.int64()).cast(pa.string()).fill_null("")
        return tf.strings.split(_text(whole))

    price = products["price"].cast(pa.float64())
    price = pc.max_element_wise(pc.if_else(pc.is_finite(price), price, None), 1.0, skip_nulls=False)
    text = tf.strings.lower(tf.strings.join([texts("title"), texts("description")], " "), "utf-8")
    words = {
        "category": several("categories"),
        "decade": floored(pc.divide(products["release_year"].cast(pa.float64()), 10.0)),
        "price": floored(pc.log2(price)),
        "creator": several("creators"),
        "word": tf.strings.split(tf.strings.regex_replace(text, r"[^\pL\pN]+", " ")),
    }
    named = [
        tf.ragged.map_flat_values(lambda word, field=field: tf.strings.join([field, word], "="), ragged)
        for field, ragged in words.items()
    ]
    first = tf.concat(named, axis=1)[:, :TOKENS]
    # embedding_lookup_sparse leaves out products at the end that have no row
    nothing = tf.ragged.boolean_mask(tf.fill((first.nrows(), 1), "nothing"), first.row_lengths()[:, None] == 0)
    first = tf.concat([first, nothing], axis=1)
    return tf.ragged.map_flat_values(lambda word: tf.strings.to_hash_bucket_fast(word, TOKEN_ROWS), first)


def _text(column: pa.ChunkedArray) -> tf.Tensor:
    """The texts, each in its own length. An array of numpy's texts would give all of them the length of the longest."""
    return tf.constant(column.to_numpy(zero_copy_only=False), tf.string)


class _Timelines:
    """Interactions, sorted by person and oldest first."""

    def __init__(self, person: npt.NDArray[np.int64], product: _Ints, age: Floats, persons: int) -> None:
        self.person, self.product, self.age = person, product, age
        self.bounds = np.searchsorted(person, np.arange(persons + 1))

    def chances(self) -> Floats:
        """The probability that each interaction is drawn as an example; 0 for persons with one interaction."""
        weight = 0.5 ** ((self.age - self.age.min(initial=0)) / HALF_LIFE_DAYS)
        of_person = np.bincount(self.person, weight, minlength=len(self.bounds) - 1)
        several = np.diff(self.bounds) > 1
        chance: Floats = np.where(several[self.person], weight / of_person[self.person], 0.0)
        return chance / chance.sum() if chance.any() else chance

    def around(
        self, drawn: npt.NDArray[np.int64], after: npt.NDArray[np.int64]
    ) -> tuple[_Ints, npt.NDArray[np.float32]]:
        """The interactions around each of ``drawn``, without itself and at most ``after`` newer ones; see ``_products_and_ages``."""
        person = self.person[drawn]
        last = np.minimum(drawn + after, self.bounds[person + 1] - 1)
        at = last[:, None] - np.arange(HISTORY + 1)
        return self._products_and_ages(at, (at >= self.bounds[person][:, None]) & (at != drawn[:, None]))

    def newest(self, person: npt.NDArray[np.int64]) -> tuple[_Ints, npt.NDArray[np.float32]]:
        at = self.bounds[person + 1][:, None] - 1 - np.arange(HISTORY)
        return self._products_and_ages(at, at >= self.bounds[person][:, None])

    def _products_and_ages(
        self, at: npt.NDArray[np.int64], here: npt.NDArray[np.bool_]
    ) -> tuple[_Ints, npt.NDArray[np.float32]]:
        """Products, counted from 1, and ages in days at the positions ``at`` (examples, positions); both 0 where ``here`` is false."""
        at = np.where(here, at, 0)
        products, ages = np.where(here, self.product[at] + 1, 0), np.where(here, self.age[at], 0)
        return products.astype(np.int32), ages.astype(np.float32)


class _Towers:
    """The weights of both towers. Products are counted from 1; 0 stands for no product, where a history is short."""

    def __init__(self, tokens: tf.RaggedTensor, popularity: npt.NDArray[np.float32], seed: int) -> None:
        self.seed = seed
        self.tokens = tf.concat([tf.ragged.constant([[0]], tokens.dtype), tokens], axis=0)
        self.popularity = tf.constant(np.r_[np.float32(0), popularity])
        products = len(popularity) + 1

        def table(position: int, *shape: int) -> tf.Variable:
            return tf.Variable(keras.initializers.RandomNormal(stddev=0.1, seed=seed + position)(shape))

        self.products, self.content = table(1, products, DIMENSIONS), table(2, TOKEN_ROWS, DIMENSIONS)
        self.key, self.turn = table(3, DIMENSIONS), tf.Variable(tf.eye(DIMENSIONS))
        self.by_age, self.bias = tf.Variable(tf.zeros(AGE_STEPS)), tf.Variable(tf.zeros(products))
        self.of_popularity = tf.Variable(0.0)
        self.variables = [self.products, self.content, self.key, self.turn]
        self.variables += [self.by_age, self.bias, self.of_popularity]

    def learn(self, histories: _Ints, ages: npt.NDArray[np.float32], wanted: _Ints) -> None:
        optimiser = keras.optimizers.Adam(LEARNING_RATE)
        optimiser.build(self.variables)
        columns = tf.constant(histories), tf.constant(ages), tf.constant(wanted, tf.int32)

        def run(order: tf.Tensor) -> None:
            size = tf.minimum(BATCH_SIZE, tf.size(order))
            for start in tf.range(0, tf.size(order) - size + 1, size):
                of_histories, of_ages, of_wanted = (
                    tf.gather(column, order[start : start + size]) for column in columns
                )
                with tf.GradientTape() as tape:
                    loss = self._loss(of_histories, of_ages, of_wanted, start)
                gradients = tape.gradient(loss, self.variables)
                optimiser.apply([tf.convert_to_tensor(gradient) for gradient in gradients], self.variables)

        order = np.random.default_rng(self.seed).permutation(len(wanted)).astype(np.int32)
        tf.function(run)(tf.constant(order))

    def weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """What encodes persons and the content of products, each (rows, DIMENSIONS).

        ``content`` has the embeddings of hashed words. Attention to an interaction is the product of its vector and ``key``, plus
        the first entry of ``age`` for its step of age; ``turn`` is the matrix by which the mean is multiplied.
        """
        by_age = np.zeros((AGE_STEPS, DIMENSIONS), np.float32)
        by_age[:, 0] = self.by_age.numpy()
        return {
            "content": self.content.numpy(),
            "key": self.key.numpy()[None],
            "turn": self.turn.numpy(),
            "age": by_age,
        }

    def of_products(self) -> npt.NDArray[np.float32]:
        """Vectors and, last, biases (products, DIMENSIONS + 1)."""
        rows = np.arange(1, self.products.shape[0], dtype=np.int32)
        vectors = [self._products(rows[start : start + 65_536]) for start in range(0, len(rows), 65_536)]
        found: npt.NDArray[np.float32] = np.c_[np.concatenate(vectors), self._biases(rows)]
        return found

    def of_all_persons(self, timelines: _Timelines, person: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Vectors of the persons at positions ``person`` of the timelines, some thousands at once."""
        batches = [person[start : start + 4096] for start in range(0, len(person), 4096)]
        vectors = [self.of_persons(*timelines.newest(batch)) for batch in batches]
        return np.concatenate(vectors or [np.empty((0, DIMENSIONS + 1), np.float32)])

    def of_persons(self, histories: _Ints, ages: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Vectors and, last, 1 (persons, DIMENSIONS + 1).

        Double precision is used, so that a rounded vector does not depend on which other persons are computed with it.
        """
        rows, position = tf.unique(tf.reshape(tf.constant(histories), [-1]))
        own = tf.gather(tf.cast(self._products(rows), tf.float64), tf.reshape(position, histories.shape))
        vectors = self._persons(own, histories > 0, tf.constant(ages))
        found: npt.NDArray[np.float32] = np.c_[vectors, np.ones(len(histories), np.float32)]
        return found

    def _loss(self, histories: tf.Tensor, ages: tf.Tensor, wanted: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Softmax over the batch's products, corrected by how often each is drawn; the example's own product counts once."""
        rows, position = tf.unique(tf.concat([tf.reshape(histories, [-1]), wanted], axis=0))
        kept = tf.random.stateless_uniform((tf.size(rows), 1), [self.seed, step]) > PRODUCT_DROPOUT
        vectors = tf.gather(self._products(rows, tf.cast(kept, tf.float32) / (1 - PRODUCT_DROPOUT)), position)
        of_histories, of_wanted = tf.split(vectors, [tf.size(histories), tf.size(wanted)])
        of_histories = tf.reshape(of_histories, (-1, HISTORY + 1, DIMENSIONS))
        fits = tf.matmul(self._persons(of_histories, histories > 0, ages), of_wanted, transpose_b=True)
        logits = fits + self._biases(wanted) - tf.gather(self.popularity, wanted)
        repeated = (wanted[:, None] == wanted[None]) & ~tf.eye(tf.size(wanted), dtype=tf.bool)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.range(tf.size(wanted)), tf.where(repeated, -1e9, logits)
        )
        return tf.reduce_mean(losses)

    def _products(self, rows: tf.Tensor, of_the_product: float | tf.Tensor = 1.0) -> tf.Tensor:
        content = tf.nn.embedding_lookup_sparse(self.content, tf.gather(self.tokens, rows), None, combiner="sqrtn")
        return tf.gather(self.products, rows) * of_the_product + content

    def _persons(self, own: tf.Tensor, is_there: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
        """Vectors of persons, from the vectors of their products (persons, positions, DIMENSIONS)."""
        age = tf.cast(tf.minimum(2.5 * tf.math.log1p(ages), AGE_STEPS - 1.0), tf.int32)
        key, turn, by_age = (tf.cast(weight, own.dtype) for weight in (self.key, self.turn, self.by_age))
        attention = tf.where(is_there, tf.linalg.matvec(own, key) + tf.gather(by_age, age), -1e9)
        return tf.matmul(tf.einsum("pt,ptd->pd", tf.nn.softmax(attention), own), turn)

    def _biases(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.bias, rows) + self.of_popularity * tf.gather(self.popularity, rows)
