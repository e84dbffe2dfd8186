"""Two towers, one for persons and one for products, that meet in one space of vectors.

The product's tower adds an embedding of the product itself to those of its content: categories, decade, price, creators, and words of
its title and description. What nobody took has content alone. The person's tower encodes the newest products they took, by attention to
what they are and how long ago they were taken. Both learn by softmax over the products of a batch, each corrected by how often it is
drawn (Yi et al. 2019, DOI 10.1145/3298689.3346996).
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
PRODUCT_DROPOUT = 0.3  # so that content alone says something too
TOKENS, TOKEN_ROWS = 64, 8_192
AGE_STEPS = 16  # of attention: ages up to about 600 days, on a logarithmic scale
VECTORS = pa.schema([("kind", pa.string()), ("id", pa.string()), ("vector", pa.list_(pa.float32(), DIMENSIONS + 1))])

_Ints = npt.NDArray[np.int32]


def towers(takes: pa.Table, products: pa.Table, persons: pa.Array, seed: int = 0) -> pa.Table:
    """Vectors of products and persons: the better they fit, the larger the product of the two.

    An example is a take, and up to ``HISTORY`` others of the same person's around it. Each person's examples count alike, the newer
    ones more, by half every ``HALF_LIFE_DAYS``. The same tables and number of TensorFlow threads give the same vectors.

    Args:
        takes: ``person_id``, ``product_id`` (string, each pair once), ``age_days`` (float, at least 0).
        products: ``product_id`` (string, once each), ``title``, ``description`` (string), ``creators``, ``categories`` (string,
            joined by ``|``), ``release_year`` (integer), ``price`` (float); any but the first may be null.
        persons: whose vectors are wanted (string, once each).
        seed: of the weights at the start and of the examples drawn.

    Returns:
        ``VECTORS``: a row of kind ``product`` for each of ``products``, and ``person`` for each of ``persons`` who took any, each in
        order of ids. The last entry of a product's is how often it is taken at all, of a person's 1. No rows where nobody took two.
    """
    products = products.sort_by("product_id")
    names = products["product_id"].combine_chunks()
    takes = takes.filter(pc.is_in(takes["product_id"], names))
    people = pc.unique(takes["person_id"]).sort()
    person, product = positions_in(takes["person_id"], people), positions_in(takes["product_id"], names)
    age = takes["age_days"].to_numpy().astype(np.float64)
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
    at = positions_in(known, people)
    of_persons = np.concatenate(
        [network.of_persons(*timelines.newest(at[start : start + 4096])) for start in range(0, len(at), 4096)]
        or [np.empty((0, DIMENSIONS + 1), np.float32)]
    )
    parts = [("product", names, network.of_products()), ("person", known, of_persons)]
    return pa.concat_tables(
        pa.table(
            [
                pa.repeat(kind, len(ids)),
                ids,
                pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSIONS + 1),
            ],
            VECTORS,
        )
        for kind, ids, vectors in parts
    )


def _tokens(products: pa.Table) -> tf.RaggedTensor:
    """Rows of the content's embeddings by product, 1 to TOKENS each: hashed words of what is known of it."""

    def texts(name: str) -> tf.Tensor:
        return tf.constant(products[name].fill_null("").to_numpy().astype(str))

    def several(name: str) -> tf.RaggedTensor:
        split = tf.strings.split(texts(name), "|")
        return tf.ragged.boolean_mask(split, split != "")

    def floored(values: pa.ChunkedArray) -> tf.RaggedTensor:
        whole = pc.floor(values).cast(pa.int64()).cast(pa.string()).fill_null("")
        return tf.strings.split(tf.constant(whole.to_numpy().astype(str)))

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
    # a lookup of several rows at once leaves out those at the end that have none
    nothing = tf.ragged.boolean_mask(tf.fill((first.nrows(), 1), "nothing"), first.row_lengths()[:, None] == 0)
    first = tf.concat([first, nothing], axis=1)
    return tf.ragged.map_flat_values(lambda word: tf.strings.to_hash_bucket_fast(word, TOKEN_ROWS), first)


class _Timelines:
    """Takes, sorted by person and oldest first."""

    def __init__(self, person: npt.NDArray[np.int64], product: _Ints, age: Floats, persons: int) -> None:
        self.person, self.product, self.age = person, product, age
        self.bounds = np.searchsorted(person, np.arange(persons + 1))

    def chances(self) -> Floats:
        """How probably each take is drawn as an example; those of people with no other take never are."""
        weight = 0.5 ** ((self.age - self.age.min(initial=0)) / HALF_LIFE_DAYS)
        of_person = np.bincount(self.person, weight, minlength=len(self.bounds) - 1)
        several = np.diff(self.bounds) > 1
        chance: Floats = np.where(several[self.person], weight / of_person[self.person], 0.0)
        return chance / chance.sum() if chance.any() else chance

    def around(
        self, drawn: npt.NDArray[np.int64], after: npt.NDArray[np.int64]
    ) -> tuple[_Ints, npt.NDArray[np.float32]]:
        """The takes around each of ``drawn``, at most so many ``after`` it, without itself; see ``_cut``."""
        person = self.person[drawn]
        last = np.minimum(drawn + after, self.bounds[person + 1] - 1)
        at = last[:, None] - np.arange(HISTORY + 1)
        return self._cut(at, (at >= self.bounds[person][:, None]) & (at != drawn[:, None]))

    def newest(self, person: npt.NDArray[np.int64]) -> tuple[_Ints, npt.NDArray[np.float32]]:
        at = self.bounds[person + 1][:, None] - 1 - np.arange(HISTORY)
        return self._cut(at, at >= self.bounds[person][:, None])

    def _cut(self, at: npt.NDArray[np.int64], here: npt.NDArray[np.bool_]) -> tuple[_Ints, npt.NDArray[np.float32]]:
        """Products, counted from 1 with 0 for none, and ages in days, where there is a take."""
        at = np.where(here, at, 0)
        products, ages = np.where(here, self.product[at] + 1, 0), np.where(here, self.age[at], 0)
        return products.astype(np.int32), ages.astype(np.float32)


class _Towers:
    """Both towers' weights. Products are counted from 1; 0 is none, where a history is short."""

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

    def learn(self, histories: _Ints, ages: npt.NDArray[np.float32], taken: _Ints) -> None:
        optimiser = keras.optimizers.Adam(LEARNING_RATE)
        optimiser.build(self.variables)
        columns = tf.constant(histories), tf.constant(ages), tf.constant(taken, tf.int32)

        def run(order: tf.Tensor) -> None:
            size = tf.minimum(BATCH_SIZE, tf.size(order))
            for start in tf.range(0, tf.size(order) - size + 1, size):
                of_histories, of_ages, of_taken = (tf.gather(column, order[start : start + size]) for column in columns)
                with tf.GradientTape() as tape:
                    loss = self._loss(of_histories, of_ages, of_taken, start)
                gradients = tape.gradient(loss, self.variables)
                optimiser.apply([tf.convert_to_tensor(gradient) for gradient in gradients], self.variables)

        order = np.random.default_rng(self.seed).permutation(len(taken)).astype(np.int32)
        tf.function(run)(tf.constant(order))

    def of_products(self) -> npt.NDArray[np.float32]:
        """Vectors and, last, biases (products, DIMENSIONS + 1)."""
        rows = np.arange(1, self.products.shape[0], dtype=np.int32)
        vectors = [self._products(rows[start : start + 65_536]) for start in range(0, len(rows), 65_536)]
        found: npt.NDArray[np.float32] = np.c_[np.concatenate(vectors), self._biases(rows)]
        return found

    def of_persons(self, histories: _Ints, ages: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Vectors and, last, 1 (persons, DIMENSIONS + 1).

        In double precision, so that after rounding nobody's depend on who is asked for beside.
        """
        rows, position = tf.unique(tf.reshape(tf.constant(histories), [-1]))
        taken = tf.gather(tf.cast(self._products(rows), tf.float64), tf.reshape(position, histories.shape))
        vectors = self._persons(taken, histories > 0, tf.constant(ages))
        found: npt.NDArray[np.float32] = np.c_[vectors, np.ones(len(histories), np.float32)]
        return found

    def _loss(self, histories: tf.Tensor, ages: tf.Tensor, taken: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Softmax over the batch's products, each without how often it is drawn there, and the example's own but once."""
        rows, position = tf.unique(tf.concat([tf.reshape(histories, [-1]), taken], axis=0))
        kept = tf.random.stateless_uniform((tf.size(rows), 1), [self.seed, step]) > PRODUCT_DROPOUT
        vectors = tf.gather(self._products(rows, tf.cast(kept, tf.float32) / (1 - PRODUCT_DROPOUT)), position)
        of_histories, of_taken = tf.split(vectors, [tf.size(histories), tf.size(taken)])
        of_histories = tf.reshape(of_histories, (-1, HISTORY + 1, DIMENSIONS))
        fits = tf.matmul(self._persons(of_histories, histories > 0, ages), of_taken, transpose_b=True)
        logits = fits + self._biases(taken) - tf.gather(self.popularity, taken)
        again = (taken[:, None] == taken[None]) & ~tf.eye(tf.size(taken), dtype=tf.bool)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(tf.size(taken)), tf.where(again, -1e9, logits))
        return tf.reduce_mean(losses)

    def _products(self, rows: tf.Tensor, of_the_product: float | tf.Tensor = 1.0) -> tf.Tensor:
        content = tf.nn.embedding_lookup_sparse(self.content, tf.gather(self.tokens, rows), None, combiner="sqrtn")
        return tf.gather(self.products, rows) * of_the_product + content

    def _persons(self, taken: tf.Tensor, is_there: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
        """Of the vectors of what they took (persons, takes, DIMENSIONS)."""
        age = tf.cast(tf.minimum(2.5 * tf.math.log1p(ages), AGE_STEPS - 1.0), tf.int32)
        key, turn, by_age = (tf.cast(weight, taken.dtype) for weight in (self.key, self.turn, self.by_age))
        attention = tf.where(is_there, tf.linalg.matvec(taken, key) + tf.gather(by_age, age), -1e9)
        return tf.matmul(tf.einsum("pt,ptd->pd", tf.nn.softmax(attention), taken), turn)

    def _biases(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.bias, rows) + self.of_popularity * tf.gather(self.popularity, rows)
