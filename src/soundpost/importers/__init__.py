"""Published checkpoints -> safetensors files and a recipe.toml, once and offline; never bundled."""
