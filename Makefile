# make install         create .venv from the locked CPU stack
# make demo            run the full pipeline on parity, d = 16, into runs/demo (a few minutes on two cores)
# make headline SEED=0 the same with d = 50, for a seed from 0 to 2, into runs/headline/cells/seed=0
# make test            ruff and all tests except the slow ones
# make test-slow       the slow tests: several processes, and a real Slurm with two nodes
# make test-deps       install slurm-wlm, munge and chromium for the Slurm and browser tests (apt-get, as root).
#                      Without them these tests are skipped; with CI=true they fail.
# make gpu             on a machine with a GPU: install .venv-gpu from the locked GPU stack, then report what works (about ten
#                      minutes); make gpu ROWS="sft lora" runs some rows (python -m tests.gpu --list lists them)
# make claims          the table of the paper's claims in recipes/README.md, from the studies' result files
# make bench DATA=DIR  the benchmarks, on idle cores, into runs/bench.json (DIR has gsm8k/ and math/; default ../shared/data)
SEED ?= 0
RUN := runs/demo
STUDY := recipes/parity
MIX := --mixture $(RUN)/mixture
PY := .venv/bin/python

.PHONY: install demo headline test test-slow test-deps bench claims gpu lint
.DELETE_ON_ERROR:

install: .venv/.complete

.venv/.complete: launch/cpu.lock launch/install.sh pyproject.toml
	bash launch/install.sh .venv cpu
	@touch $@

.venv-gpu/.complete: launch/gpu.lock launch/install.sh pyproject.toml
	bash launch/install.sh .venv-gpu gpu
	@touch $@

# A run with a different seed is renamed, not overwritten, and renamed back when its seed is asked for again.
demo: install
	@if [ -f $(RUN)/.seed ] && read seed < $(RUN)/.seed && [ "$$seed" != "$(SEED)" ]; then \
	    mv -T $(RUN) $(RUN)-seed$$seed && echo "moved the run with seed $$seed to $(RUN)-seed$$seed"; fi
	@if [ ! -e $(RUN) ] && [ -e $(RUN)-seed$(SEED) ]; then \
	    mv -T $(RUN)-seed$(SEED) $(RUN) && echo "moved the run with seed $(SEED) back from $(RUN)-seed$(SEED)"; fi
	@mkdir -p $(RUN) && echo $(SEED) > $(RUN)/.seed
	@$(MAKE) --no-print-directory $(RUN)/report.html
	@$(PY) -m eval report $(RUN)

# A cell of an ablation: its stages are forked from one process, which imports torch, TRL and vLLM once.
headline: install
	@$(PY) -m launch ablate recipes/parity/headline/seeds.yaml --cell $(SEED)
	@$(PY) -m eval report runs/headline/cells/seed=$(SEED)

# One process needs no `accelerate launch`. Finished stages are skipped; an interrupted one lacks its last file and starts over.
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

# Two workers, each with half of the cores; `worksteal` gives each a run of neighbouring tests, which share fixtures.
test: lint
	.venv/bin/pytest -m "not slow" --numprocesses 2 --dist worksteal --durations 20

bench: install models/smollm2-135m/config.json runs/demo/sft/model.safetensors
	$(PY) -m tests.bench $(if $(DATA),--data $(DATA))

claims: install
	$(PY) -m recipes.claims

gpu: .venv-gpu/.complete
	@.venv-gpu/bin/python -m tests.gpu $(ROWS)

models/smollm2-135m/config.json: | install
	$(PY) recipes/export_smollm2.py --out models/smollm2-135m

# A worker per file: the tests of a file share a server, or a Slurm.
test-slow: install
	.venv/bin/pytest -m slow --numprocesses 2 --dist loadfile --durations 20

test-deps:
	@which slurmctld slurmd sbatch munged chromium > /dev/null || \
	    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes slurm-wlm munge chromium; }
