"""The lab bench beside the notebook: a course's virtual machine, one press away."""
