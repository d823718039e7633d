"""Writes a llama model of a few hundred kilobytes with random weights, as a GGUF file, for a real model server to load.

What it says is noise; its token counts, its context limit and the protocol around it are the server's own. The weights
come from a fixed seed, so the file is the same on every machine.

    python tiny_model.py FILE           for chats
    python tiny_model.py FILE pooled    for vectors: one for a text, where the other gives one for each of its tokens
"""

import sys

import gguf
import numpy

CONTEXT = 512
EMBEDDING = 64
FEED_FORWARD = 160
HEADS = 4
BLOCKS = 2
WORDS = 96
SEED = 20260101

BYTE_TOKEN = gguf.TokenType.BYTE
NORMAL_TOKEN = gguf.TokenType.NORMAL


def vocabulary():
    """The three special tokens, one token for each byte (so any text can be read), and some words."""
    tokens = [
        ("<unk>", gguf.TokenType.UNKNOWN),
        ("<s>", gguf.TokenType.CONTROL),
        ("</s>", gguf.TokenType.CONTROL),
    ]
    tokens += [(f"<0x{byte:02X}>", BYTE_TOKEN) for byte in range(256)]
    tokens += [(f"\u2581word{number}", NORMAL_TOKEN) for number in range(WORDS)]
    return tokens


def block_shapes(index):
    """The tensors of one transformer block; NumPy writes rows first, GGUF reads them reversed."""
    square = (EMBEDDING, EMBEDDING)
    shapes = {f"attn_{part}": square for part in ("q", "k", "v", "output")}
    shapes["ffn_gate"] = shapes["ffn_up"] = (FEED_FORWARD, EMBEDDING)
    shapes["ffn_down"] = (EMBEDDING, FEED_FORWARD)
    return {f"blk.{index}.{name}.weight": shape for name, shape in shapes.items()}


def main():
    random = numpy.random.default_rng(SEED)

    def noise(shape):
        return random.normal(0.0, 0.05, shape).astype(numpy.float32)

    def ones():
        return numpy.ones(EMBEDDING, dtype=numpy.float32)

    tokens = vocabulary()
    writer = gguf.GGUFWriter(sys.argv[1], "llama")
    writer.add_name("claviger-tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_block_count(BLOCKS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    if sys.argv[2:] == ["pooled"]:
        writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    writer.add_tensor("token_embd.weight", noise((len(tokens), EMBEDDING)))
    for index in range(BLOCKS):
        writer.add_tensor(f"blk.{index}.attn_norm.weight", ones())
        writer.add_tensor(f"blk.{index}.ffn_norm.weight", ones())
        for name, shape in block_shapes(index).items():
            writer.add_tensor(name, noise(shape))
    writer.add_tensor("output_norm.weight", ones())
    writer.add_tensor("output.weight", noise((len(tokens), EMBEDDING)))

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
