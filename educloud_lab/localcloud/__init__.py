"""The bundled cloud: an EC2-compatible endpoint over a hypervisor. Imports nothing of ours but gateway."""
