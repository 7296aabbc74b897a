# Everything runs in .venv, which the first target that needs it makes from pyproject.toml under
# constraints.txt. PYTHON picks the interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EARTH := --tiles h18v04 --window 240x240+600+750 --year 2019 --seed 7 --stations 60
STUDY_EARTH := --tiles h08v05,h10v04,h18v04,h20v08,h25v05,h30v11 --year 2017,2018,2019 --at stations \
  --maps h18v04:240x240+600+750 --stations 200 --references --sites varied --seed 7
DESERT := --tiles h25v05 --window 300x300+300+600 --seed 7 --stations 30
export MPLBACKEND := Agg

.PHONY: help demo demo-s3 study downscaling all-weather freeze-thaw seamless test lint bench real gates clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "smcloud needs Python 3.11 or newer; name one with make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.deep: $(VENV)/.demo
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[demo,deep]'
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $(VENV)/.demo $(VENV)/.deep $@

demo: $(VENV)/.demo ## The main job on a simulated Earth in ./demo: granules to maps and scores
	$(BIN)/smcloud simulate $(EARTH) --out demo
	$(BIN)/smcloud run examples/glass-sm.toml

demo-s3: $(VENV)/.demo ## The same demo against an S3 API that the command starts on loopback
	$(BIN)/python examples/loopback_s3.py smcloud-demo -- sh -c '\
	  $(BIN)/smcloud simulate $(EARTH) --out s3://smcloud-demo && \
	  $(BIN)/smcloud run examples/glass-sm-s3.toml'

study: $(VENV)/.demo ## Stations selected, folds, search, uncertainty: the study behind the model, in ./study
	$(BIN)/smcloud simulate $(STUDY_EARTH) --out study
	$(BIN)/smcloud run examples/glass-sm-study.toml

downscaling: $(VENV)/.demo ## smap-downscaling on a simulated Earth, 36 km to 1 km, in ./downscaling
	$(BIN)/smcloud simulate --product smap-downscaling $(DESERT) --year 2019 --out downscaling
	$(BIN)/smcloud run examples/smap-downscaling.toml

all-weather: $(VENV)/.demo ## all-weather on a simulated Earth, no cloud gaps, in ./weather
	$(BIN)/smcloud simulate --product all-weather $(DESERT) --year 2011,2012 --out weather
	$(BIN)/smcloud run examples/all-weather.toml

freeze-thaw: $(VENV)/.demo ## Frozen ground on a simulated Earth, 25 km, in ./frost
	$(BIN)/smcloud simulate --product freeze-thaw --tiles h23v05 --window 480x480+0+300 --year 2014,2015 --seed 7 --out frost
	$(BIN)/smcloud run examples/freeze-thaw.toml

seamless: $(VENV)/.deep ## Soil moisture without gaps on a simulated Earth, 0.25 degree, in ./seamless
	$(BIN)/smcloud simulate --product seamless --region -105,30,-95,40 --year 2014,2015,2016 --stations 12 --seed 7 --out seamless
	$(BIN)/smcloud run examples/seamless.toml

test: $(VENV)/.test lint ## All tests, ruff, mypy strict and the layer contracts
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.test ## ruff, mypy strict, import-linter, codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell smcloud tests docs README.md CONTRIBUTING.md CHANGELOG.md

bench: $(VENV)/.test ## Throughput per tile against its peers, in one run
	$(BIN)/python -m benchmarks run

real: $(VENV)/.demo ## The same commands on real product files (SMCLOUD_REALDATA)
	$(BIN)/python examples/real.py real

gates: $(VENV)/.demo ## Print how hard the simulated Earth is
	$(BIN)/smcloud simulate --gates

clean: ## Remove what demo, study, downscaling, all-weather, freeze-thaw, seamless and real wrote
	rm -rf demo study downscaling weather frost seamless real
