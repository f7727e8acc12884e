"""Makes the lab's model: a random Llama of 0.7 million parameters, in a second and without an engine.

The same weights twice, as safetensors for vLLM and as GGUF for llama.cpp, so that one engine
checks the other. Seeded, so that every lab has the same model. Runs with the recipe's few packages on
PYTHONPATH, never in orch itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>", "<|system|>", "<|pad|>"]
BOS, EOS, PAD = 0, 1, 5
TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "hello world, how are you today?",
    "a cluster of small machines serves one model together",
]
TEMPLATE = (
    "{{ bos_token }}"
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
BLOCK = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
    "dtype": "bfloat16",
    "torch_dtype": "bfloat16",
}
# One whose likeliest token is well ahead of the next at every step of eight answers (0.8 % of the spread of the
# logits; with most seeds it is a tenth of that): engines that add in another order must still say the same
SEED = 156
SPREAD = 0.02  # of the random weights: what Llama's own initialisation has


def make_tokenizer(folder: Path) -> None:
    """A byte-level BPE tokenizer with a chat template, trained on three sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"], special_tokens=SPECIAL, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(TEXTS * 50, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[BOS],
        "eos_token": SPECIAL[EOS],
        "pad_token": SPECIAL[PAD],
        "model_max_length": CONFIG["max_position_embeddings"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))


def shapes() -> dict[str, tuple[int, ...]]:
    """Each tensor of the model, in order; one dimension means a norm."""
    width, inner, words = (
        CONFIG[key] for key in ("hidden_size", "intermediate_size", "vocab_size")
    )
    keys = CONFIG["num_key_value_heads"] * CONFIG["head_dim"]
    block = {
        "input_layernorm": (width,),
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, width),
        "post_attention_layernorm": (width,),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, width)}
    for layer in range(CONFIG["num_hidden_layers"]):
        found |= {f"model.layers.{layer}.{name}.weight": size for name, size in block.items()}
    return found | {"model.norm.weight": (width,), "lm_head.weight": (words, width)}


def unspeakable(folder: Path) -> list[int]:
    """Tokens that are no readable text: the ends, bytes that are half a letter, numbers without a word."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    letters = {number for word, number in vocabulary.items() if word.replace("Ġ", " ").isascii()}
    return [n for n in range(CONFIG["vocab_size"]) if n not in letters or n < len(SPECIAL)]


def make_weights(silent: list[int]) -> dict[str, np.ndarray]:
    """Random weights as 32-bit floats that 16 bits (bfloat16) hold whole.

    What is silent gets no weight, and so is never the likeliest: an answer has letters, and does not end at once.
    """
    random = np.random.RandomState(SEED)  # its stream is the same in every numpy
    made = {}
    for name, shape in shapes().items():
        whole = np.ones(shape) if len(shape) == 1 else random.normal(0, SPREAD, shape)
        bits = whole.astype(np.float32).view(np.uint32)
        rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(
            0xFFFF0000
        )  # to nearest, ties even
        made[name] = rounded.astype(np.uint32).view(np.float32)
    made["lm_head.weight"][silent] = 0
    return made


def write_safetensors(weights: dict[str, np.ndarray], target: Path) -> None:
    """Eight bytes of length, a JSON header, the tensors as bfloat16: the upper halves of their floats."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    parts, at = [], 0
    for name, weight in weights.items():
        part = (weight.view(np.uint32) >> 16).astype("<u2").tobytes()
        entry = {"dtype": "BF16", "shape": weight.shape, "data_offsets": [at, at + len(part)]}
        header[name], at = entry, at + len(part)
        parts.append(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    target.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp pairs the halves of a rotary dimension differently."""
    shape = (heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return weight.reshape(shape).swapaxes(1, 2).reshape(weight.shape)


def token_type(number: int, special: dict[int, str], words: dict[int, str]) -> gguf.TokenType:
    """Control tokens end a text, normal ones are printed, and the vocabulary has room to spare."""
    if number in special:
        return gguf.TokenType.CONTROL
    return gguf.TokenType.NORMAL if number in words else gguf.TokenType.UNUSED


def describe(writer: gguf.GGUFWriter, folder: Path) -> None:
    """Copy the configuration and the tokenizer into a GGUF header."""
    config = CONFIG
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    writer.add_name("tiny random model of the orch lab")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_rope_freq_base(config["rope_theta"])
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    words = {number: word for word, number in tokenizer["model"]["vocab"].items()} | special
    numbers = range(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([words.get(number, f"[UNUSED{number}]") for number in numbers])
    writer.add_token_types([token_type(number, special, words) for number in numbers])
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(PAD)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def make_gguf(weights: dict[str, np.ndarray], folder: Path, target: Path) -> None:
    """The same weights as 32-bit GGUF."""
    writer = gguf.GGUFWriter(str(target), "llama")
    describe(writer, folder)
    heads = {
        "self_attn.q_proj": CONFIG["num_attention_heads"],
        "self_attn.k_proj": CONFIG["num_key_value_heads"],
    }
    for name, weight in weights.items():
        if name in WHOLE:
            writer.add_tensor(WHOLE[name], weight)
            continue
        _, _, number, *part, _ = name.split(".")
        part_name = ".".join(part)
        if part_name in heads:
            weight = permute(weight, heads[part_name])
        writer.add_tensor(f"blk.{number}.{BLOCK[part_name]}.weight", np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    out = Path(sys.argv[1])
    folder = out / "tiny-llama"
    folder.mkdir()
    make_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2))
    ends = {key: CONFIG[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    (folder / "generation_config.json").write_text(json.dumps(ends, indent=2))
    weights = make_weights(unspeakable(folder))
    write_safetensors(weights, folder / "model.safetensors")
    make_gguf(weights, folder, out / "tiny.gguf")
    (folder / "README.md").write_text((Path(__file__).parent / "README.md").read_text())
    for file in folder.iterdir():
        file.chmod(0o644)


if __name__ == "__main__":
    main()
