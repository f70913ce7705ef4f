# Two commands are all that is needed: `make lab` and `make test`. Both start from nothing.
.DEFAULT_GOAL := help
.PHONY: help lab test check setup setup-test bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

lab: setup ## Set everything up and open JupyterLab on the first notebook
	@exec .venv/bin/educloud lab notebooks/01-your-first-machine.ipynb $(LAB_ARGS)

test: setup-test ## Set everything up and run all checks and tests
	@scripts/test

check: setup-test ## Run the linters, type checkers, import rules and the browser code's unit tests
	@scripts/check

bench: setup-test ## Measure, beside named baselines in the same run
	@.venv/bin/python bench/run.py

setup:
	@scripts/setup lab

setup-test:
	@scripts/setup test

clean: ## Remove what was built here (never your machines, volumes or images)
	rm -rf .venv .lab artifacts dist educloud_lab/labextension educloud_lab/_version.py labextension/lib labextension/node_modules
