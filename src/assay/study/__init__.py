"""What has a classifier learnt? Success, use, instability and simplicity of candidate structures, with controls."""
