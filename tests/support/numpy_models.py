"""Three models written for Saitoh's "Deep Learning from Scratch 2", with its import below."""

# ruff: noqa: F403, F405
from support.numpy_time_layers import *


def lstm_params(D, H):
    return [
        (np.random.randn(D, 4 * H) / np.sqrt(D)).astype("f"),
        (np.random.randn(H, 4 * H) / np.sqrt(H)).astype("f"),
        np.zeros(4 * H).astype("f"),
    ]


def gather(layers):
    params, grads = [], []
    for layer in layers:
        params += layer.params
        grads += layer.grads
    return params, grads


class LanguageModel:
    """Two stateful LSTMs, dropout around them, and the table of the embedding used twice."""

    def __init__(self, vocab_size, size, ratio=0.5):
        table = (np.random.randn(vocab_size, size) / np.sqrt(size)).astype("f")
        self.drops = [TimeDropout(ratio) for _ in range(3)]
        self.lstms = [TimeLSTM(*lstm_params(size, size), stateful=True) for _ in range(2)]
        bias = np.zeros(vocab_size).astype("f")
        self.layers = [
            TimeEmbedding(table),
            self.drops[0],
            self.lstms[0],
            self.drops[1],
            self.lstms[1],
            self.drops[2],
            TimeAffine(table.T, bias),
        ]
        self.loss_layer = TimeSoftmaxWithLoss()
        self.params, self.grads = gather(self.layers)

    def predict(self, xs, train=False):
        for drop in self.drops:
            drop.train_flg = train
        for layer in self.layers:
            xs = layer.forward(xs)
        return xs

    def forward(self, xs, ts):
        return self.loss_layer.forward(self.predict(xs, train=True), ts)

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)

    def reset_state(self):
        for lstm in self.lstms:
            lstm.reset_state()

    def generate(self, start, length):
        ids = [start]
        while len(ids) < length:
            score = self.predict(np.array([[ids[-1]]]))
            ids.append(int(score.argmax()))
        return ids


class Encoder:
    """Its last state, or all of them, is what a decoder gets."""

    def __init__(self, vocab_size, D, H, every):
        self.embed = TimeEmbedding((np.random.randn(vocab_size, D) / 10).astype("f"))
        self.lstm = TimeLSTM(*lstm_params(D, H), stateful=False)
        self.every = every
        self.params, self.grads = gather([self.embed, self.lstm])

    def forward(self, xs):
        self.hs = self.lstm.forward(self.embed.forward(xs))
        return self.hs if self.every else self.hs[:, -1, :]

    def backward(self, dh):
        dhs = dh
        if not self.every:
            dhs = np.zeros_like(self.hs)
            dhs[:, -1, :] = dh
        self.embed.backward(self.lstm.backward(dhs))


class PeekyDecoder:
    """Every step sees the encoder's last state, before the LSTM and after it."""

    def __init__(self, vocab_size, D, H):
        self.embed = TimeEmbedding((np.random.randn(vocab_size, D) / 10).astype("f"))
        self.lstm = TimeLSTM(*lstm_params(H + D, H), stateful=True)
        W = (np.random.randn(2 * H, vocab_size) / np.sqrt(2 * H)).astype("f")
        self.affine = TimeAffine(W, np.zeros(vocab_size).astype("f"))
        self.params, self.grads = gather([self.embed, self.lstm, self.affine])

    def forward(self, xs, h):
        self.lstm.set_state(h)
        return self.scores(xs, h)

    def scores(self, xs, h):
        (N, T), (_, H) = xs.shape, h.shape
        hs = np.repeat(h, T, axis=0).reshape(N, T, H)
        out = np.concatenate((hs, self.embed.forward(xs)), axis=2)
        out = np.concatenate((hs, self.lstm.forward(out)), axis=2)
        self.H = H
        return self.affine.forward(out)

    def backward(self, dscore):
        H = self.H
        dout = self.affine.backward(dscore)
        dout, dhs_after = dout[:, :, H:], dout[:, :, :H]
        dout = self.lstm.backward(dout)
        dembed, dhs_before = dout[:, :, H:], dout[:, :, :H]
        self.embed.backward(dembed)
        return self.lstm.dh + np.sum(dhs_after + dhs_before, axis=1)


class AttentionDecoder:
    """Every step looks at all states of the encoder."""

    def __init__(self, vocab_size, D, H):
        self.embed = TimeEmbedding((np.random.randn(vocab_size, D) / 10).astype("f"))
        self.lstm = TimeLSTM(*lstm_params(D, H), stateful=True)
        self.attention = TimeAttention()
        W = (np.random.randn(2 * H, vocab_size) / np.sqrt(2 * H)).astype("f")
        self.affine = TimeAffine(W, np.zeros(vocab_size).astype("f"))
        self.params, self.grads = gather([self.embed, self.lstm, self.attention, self.affine])

    def forward(self, xs, enc_hs):
        self.lstm.set_state(enc_hs[:, -1])
        return self.scores(xs, enc_hs)

    def scores(self, xs, enc_hs):
        dec_hs = self.lstm.forward(self.embed.forward(xs))
        context = self.attention.forward(enc_hs, dec_hs)
        return self.affine.forward(np.concatenate((context, dec_hs), axis=2))

    def backward(self, dscore):
        dout = self.affine.backward(dscore)
        H = dout.shape[2] // 2
        dcontext, ddec_hs = dout[:, :, :H], dout[:, :, H:]
        denc_hs, ddec_hs_too = self.attention.backward(dcontext)
        dembed = self.lstm.backward(ddec_hs + ddec_hs_too)
        denc_hs[:, -1] += self.lstm.dh
        self.embed.backward(dembed)
        return denc_hs


class Seq2seq:
    def __init__(self, vocab_size, D, H, attention):
        self.encoder = Encoder(vocab_size, D, H, every=attention)
        decoder = AttentionDecoder if attention else PeekyDecoder
        self.decoder = decoder(vocab_size, D, H)
        self.loss_layer = TimeSoftmaxWithLoss()
        self.params, self.grads = gather([self.encoder, self.decoder])

    def forward(self, xs, ts):
        score = self.decoder.forward(ts[:, :-1], self.encoder.forward(xs))
        return self.loss_layer.forward(score, ts[:, 1:])

    def backward(self, dout=1):
        self.encoder.backward(self.decoder.backward(self.loss_layer.backward(dout)))

    def generate(self, xs, start, length):
        h = self.encoder.forward(xs)
        if self.encoder.every:
            self.decoder.lstm.set_state(h[:, -1])
        else:
            self.decoder.lstm.set_state(h)
        ids = [start]
        while len(ids) < length:
            score = self.decoder.scores(np.array([[ids[-1]]]), h)
            ids.append(int(np.argmax(score.flatten())))
        return ids


def without_doubles(params, grads):
    """One entry for a table and the transposed view of it that another layer has."""
    params, grads = params[:], grads[:]
    for i in range(len(params) - 1, -1, -1):
        for j in range(i):
            if params[i].base is params[j] and params[i].T.shape == params[j].shape:
                grads[j] += grads[i].T
                del params[i], grads[i]
                break
    return params, grads


def clip(grads, largest):
    norm = np.sqrt(sum((grad.astype("d") ** 2).sum() for grad in grads))
    if norm > largest:
        for grad in grads:
            grad *= largest / norm


class Adam:
    def __init__(self, lr=0.001):
        self.lr, self.step, self.moments = lr, 0, None

    def update(self, params, grads):
        if self.moments is None:
            self.moments = [(np.zeros_like(param), np.zeros_like(param)) for param in params]
        self.step += 1
        rate = self.lr * np.sqrt(1 - 0.999**self.step) / (1 - 0.9**self.step)
        for param, grad, (mean, square) in zip(params, grads, self.moments, strict=True):
            mean += 0.1 * (grad - mean)
            square += 0.001 * (grad**2 - square)
            param -= rate * mean / (np.sqrt(square) + 1e-7)


def train(model, optimizer, batches):
    """One step for each batch; the losses."""
    losses = []
    for xs, ts in batches:
        losses.append(float(model.forward(xs, ts)))
        model.backward()
        params, grads = without_doubles(model.params, model.grads)
        clip(grads, 5.0)
        optimizer.update(params, grads)
    return losses
