# make demo    the whole pipeline on parity, d = 16, into runs/demo (a few minutes on two cores)
# make headline SEED=0  the same at d = 50, into runs/headline-0
# make test    ruff and all tests but the slow ones
# make test-slow  the slow ones: several processes, and a real Slurm with two nodes
# make test-deps  what the Slurm and browser tests need, from Debian (apt-get, as root): slurm-wlm, munge, chromium.
#                 Without them these tests are skipped; with CI=true they fail.
# make bench DATA=DIR  the benchmarks, on idle cores, into runs/bench.json (DIR has gsm8k/ and math/; default ../shared/data)
# make install  only the environment: .venv, from the locked CPU stack
SEED ?= 0
RUN := runs/demo
STUDY := recipes/parity
MIX := --mixture $(RUN)/mixture
PY := .venv/bin/python

.PHONY: install demo headline test test-slow test-deps bench lint
.DELETE_ON_ERROR:

install: .venv/.complete

.venv/.complete: launch/cpu.lock launch/install_cpu.sh pyproject.toml
	bash launch/install_cpu.sh .venv
	@touch $@

# A run with another seed is moved aside, not overwritten.
demo: install
	@if [ -f $(RUN)/.seed ] && [ "$$(cat $(RUN)/.seed)" != "$(SEED)" ]; then \
	    mv -T $(RUN) $(RUN)-seed$$(cat $(RUN)/.seed) && echo "the run of seed $$(cat $(RUN)-seed*/.seed | tail -1) is kept beside $(RUN)"; fi
	@mkdir -p $(RUN) && echo $(SEED) > $(RUN)/.seed
	@$(MAKE) --no-print-directory $(RUN)/report.html
	@$(PY) -m eval report $(RUN)

headline: install
	@$(MAKE) --no-print-directory RUN=runs/headline-$(SEED) STUDY=recipes/parity/headline runs/headline-$(SEED)/report.html
	@$(PY) -m eval report runs/headline-$(SEED)

# One process needs no `accelerate launch`. A finished stage is not run again; an interrupted one lacks its last file and starts over.
$(RUN)/mixture/manifest.json:
	$(PY) -m data_mix build $(STUDY)/mixture.yaml --out $(RUN)/mixture --set seed=$(SEED)

$(RUN)/sft/model.safetensors: $(RUN)/mixture/manifest.json
	@rm -rf $(RUN)/sft
	$(PY) recipes/sft.py --config $(STUDY)/sft.yaml $(MIX) --seed $(SEED) --output_dir $(RUN)/sft

$(RUN)/grpo/model.safetensors: $(RUN)/sft/model.safetensors
	@rm -rf $(RUN)/grpo
	$(PY) recipes/grpo.py --config $(STUDY)/grpo.yaml $(MIX) --model_name_or_path $(RUN)/sft --seed $(SEED) --output_dir $(RUN)/grpo

$(RUN)/eval/%-sampled/metrics.json: $(RUN)/%/model.safetensors
	$(PY) -m eval run --model $(RUN)/$* $(MIX) --out $(RUN)/eval/$*-sampled --samples 4 --temperature 1.0 --seed $(SEED)

$(RUN)/eval/%/metrics.json: $(RUN)/%/model.safetensors
	$(PY) -m eval run --model $(RUN)/$* $(MIX) --out $(RUN)/eval/$* --seed $(SEED)

$(RUN)/report.html: $(foreach stage,sft grpo,$(RUN)/eval/$(stage)/metrics.json $(RUN)/eval/$(stage)-sampled/metrics.json)
	$(PY) -m eval report $(RUN) > /dev/null

lint: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

test: lint
	.venv/bin/pytest -m "not slow"

bench: install models/smollm2-135m/config.json
	$(PY) -m tests.bench $(if $(DATA),--data $(DATA))

models/smollm2-135m/config.json: | install
	$(PY) recipes/export_smollm2.py --out models/smollm2-135m

test-slow: install
	.venv/bin/pytest -m slow

test-deps:
	@which slurmctld slurmd sbatch munged chromium > /dev/null || \
	    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes slurm-wlm munge chromium; }
