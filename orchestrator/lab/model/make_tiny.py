"""Makes the lab's model in a container of the host image: a random Llama of 0.7 million parameters.

The same weights twice, as safetensors for vLLM and as GGUF for llama.cpp, so that one engine
checks the other. Seeded, so that every lab has the same model. Runs with the engine folder on
PYTHONPATH, never in orch itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

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


def make_tokenizer(folder: Path) -> None:
    """A byte-level BPE tokenizer with a chat template, trained on three sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS * 50, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=SPECIAL[BOS],
        eos_token=SPECIAL[EOS],
        pad_token=SPECIAL[PAD],
    )
    fast.chat_template = TEMPLATE
    fast.model_max_length = 2048
    fast.save_pretrained(folder)


def make_weights(folder: Path) -> None:
    """Random weights from seed 0."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=2048,
        tie_word_embeddings=False, bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp pairs the halves of a rotary dimension differently."""
    shape = (heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return weight.reshape(shape).swapaxes(1, 2).reshape(weight.shape)


def token_type(number: int, special: dict[int, str], words: dict[int, str]) -> gguf.TokenType:
    """Control tokens end a text, normal ones are printed, and the vocabulary has room to spare."""
    if number in special:
        return gguf.TokenType.CONTROL
    return gguf.TokenType.NORMAL if number in words else gguf.TokenType.UNUSED


def describe(writer: gguf.GGUFWriter, folder: Path) -> dict:
    """Copy the configuration and the tokenizer into a GGUF header."""
    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    rope = (config.get("rope_parameters") or {}).get(
        "rope_theta", config.get("rope_theta", 10000.0)
    )
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
    writer.add_rope_freq_base(float(rope))
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
    return config


def make_gguf(folder: Path, target: Path) -> None:
    """The same weights as 32-bit GGUF."""
    writer = gguf.GGUFWriter(str(target), "llama")
    config = describe(writer, folder)
    heads = {
        "self_attn.q_proj": config["num_attention_heads"],
        "self_attn.k_proj": config["num_key_value_heads"],
    }
    for name, tensor in load_file(folder / "model.safetensors").items():
        weight = tensor.float().numpy()
        if name in WHOLE:
            writer.add_tensor(WHOLE[name], np.ascontiguousarray(weight))
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
    make_weights(folder)
    make_gguf(folder, out / "tiny.gguf")
    (folder / "README.md").write_text((Path(__file__).parent / "README.md").read_text())
    for file in folder.iterdir():
        file.chmod(0o644)


if __name__ == "__main__":
    main()
