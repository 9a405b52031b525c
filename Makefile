# Everything a contributor runs. `make demo` and `make test` need only git, make and Python >= 3.11.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
MESH   := $(BIN)/python tests/mesh/bed/mesh_sandbox.py $(BIN)/python
E2E    := $(BIN)/python -m pytest -c tests/e2e/pytest.ini --rootdir tests/e2e -v

.DEFAULT_GOAL := help
.PHONY: help demo test accuracy bench e2e e2e-mesh mesh-comparison mesh-drivers mesh-random mesh-simulator mesh-tools mesh-truth cluster go observability-test scale scale-docs image-test e2e-node e2e-story fuzz docs lint format lock clean

help: ## Show this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

# One stamp per lock file: exactly the locked versions are installed, and a second run installs nothing.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sidecar-policy needs Python >= 3.11; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.dev: $(VENV)/.created requirements/dev.txt pyproject.toml
	$(PIP) install --require-hashes --requirement requirements/dev.txt
	$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.mesh: $(VENV)/.dev requirements/mesh.txt
	$(PIP) install --require-hashes --requirement requirements/mesh.txt
	@touch $@

demo: $(VENV)/.dev ## Decide on every pod of examples/eshop over real HTTPS, and show why
	@$(BIN)/python examples/demo.py

test: $(VENV)/.dev ## Run the tests
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 6 --dist worksteal $(PYTEST_ARGS)

# One million reviews in process and 100,000 over TLS take some twenty minutes on one core; Ctrl-C ends it at any time.
fuzz: $(VENV)/.dev ## Review hostile pods, in process and over TLS (FUZZ_ARGS="--seed 2 --reviews 20000 --tls 1000")
	@PYTHONPATH=tests:tests/e2e $(BIN)/python tests/fuzz/fuzz.py $(FUZZ_ARGS)

accuracy: $(VENV)/.dev ## Measure detection against labelled manifests; fails below the targets (ACCURACY_ARGS="-o json")
	@$(BIN)/python tests/accuracy/measure.py $(ACCURACY_ARGS)

bench: go $(VENV)/.dev ## Measure against Go webhooks, alone and on a real API server (needs Go; BENCH_ARGS="--quick")
	@cd tests/bench/peers && go test ./load
	@PYTHONPATH=tests/e2e $(BIN)/python tests/bench/bench.py $(BENCH_ARGS)

# The last two change cluster-wide webhook configurations, so each has a control plane of its own.
e2e: go $(VENV)/.dev ## Run the scenarios on a real control plane with Istio's injector (needs Go; slow the first time)
	@$(BIN)/python tests/e2e/toolbox.py >/dev/null
	@$(E2E) tests/e2e --ignore tests/e2e/test_certificates.py --ignore tests/e2e/test_chart.py --ignore tests/e2e/test_chart_on_cluster.py
	@$(E2E) tests/e2e/test_certificates.py
	@$(E2E) tests/e2e/test_chart.py tests/e2e/test_chart_on_cluster.py

# Tools are built outside of the sandbox, whose network leads nowhere.
mesh-tools: go $(VENV)/.mesh
	@$(BIN)/python tests/mesh/bed/mesh_sandbox.py
	@$(BIN)/python tests/e2e/toolbox.py etcd kube-apiserver kube-controller-manager istioctl pilot-discovery pilot-agent >/dev/null

e2e-mesh: mesh-tools mesh-simulator ## Connect through real sidecars, and compare with tests/mesh/truth.yaml (needs root, iptables, Go; MESH_SEED=1)
	@$(BIN)/python -m pytest -c tests/mesh/bed/pytest.ini --rootdir tests/mesh/bed -v tests/mesh/bed/test_mesh_sandbox.py
	@$(MESH) -m pytest -c tests/mesh/bed/pytest.ini --rootdir tests/mesh/bed -v --ignore tests/mesh/bed/test_mesh_sandbox.py tests/mesh/bed

mesh-comparison: mesh-tools ## Measure all of tests/mesh/comparison.yaml again, and write its table (needs the same)
	@PYTHONPATH=tests/e2e $(BIN)/python tests/mesh/bed/port_forwarding.py
	@PYTHONPATH=tests/e2e $(MESH) tests/mesh/bed/measure_comparison.py
	@$(BIN)/python docs/broken_applications.py

mesh-drivers: mesh-tools ## Measure all of tests/mesh/drivers.yaml again (needs the same, and Debian's servers)
	@PYTHONPATH=tests/e2e $(MESH) tests/mesh/bed/measure_drivers.py

mesh-truth: mesh-tools ## Measure all of tests/mesh/truth.yaml again (needs the same)
	@PYTHONPATH=tests/e2e $(MESH) tests/mesh/bed/measure_truth.py

mesh-simulator: go $(VENV)/.dev ## Compare Istio's own simulation of connections with tests/mesh/truth.yaml (needs Go)
	@$(BIN)/python -m pytest -c tests/mesh/simulator/pytest.ini --rootdir tests/mesh/simulator -v tests/mesh/simulator

mesh-random: go $(VENV)/.dev ## Compare verdicts with that simulation in random meshes, drawn and changed (needs Go; MESHES=10000)
	@MESHES=$(or $(MESHES),10000) $(BIN)/python -m pytest -c tests/mesh/simulator/pytest.ini --rootdir tests/mesh/simulator -v tests/mesh/simulator/test_judge_by_simulation.py

cluster: go $(VENV)/.dev ## Run that control plane until Ctrl-C, for experiments (needs Go)
	@$(BIN)/python tests/e2e/cluster.py --kubeconfig build/cluster.kubeconfig

go:
	@command -v go >/dev/null || { echo "the test bed is built with Go, but go is not on the PATH: see https://go.dev/doc/install" >&2; exit 1; }

observability-test: $(VENV)/.dev ## Check metrics, dashboard and alerts with a real Prometheus (Debian's, or one on the PATH)
	@$(BIN)/python tests/observability/programs.py >/dev/null
	@$(BIN)/python -m pytest -o addopts="--strict-markers --strict-config -ra --import-mode=importlib" tests/observability

# A control plane of its own, on loopback; some ten minutes.
scale: go $(VENV)/.dev ## Measure a large cluster on a real API server, and simulate a day of pod creations (needs Go)
	@$(BIN)/python tests/e2e/toolbox.py etcd kube-apiserver kube-controller-manager >/dev/null
	@PYTHONPATH=tests/e2e $(BIN)/python tests/scale/simulate.py
	@PYTHONPATH=tests/e2e $(BIN)/python tests/scale/cluster_scale.py

scale-docs: $(VENV)/.dev ## Write the figures of docs/scale.md from the results of make scale
	@PYTHONPATH=tests/e2e $(BIN)/python tests/scale/scale_document.py

image-test: $(VENV)/.dev ## Build the image and check its content (needs root, buildah and debootstrap)
	@$(BIN)/python -m pytest -c tests/node/pytest.ini --rootdir tests/node -v tests/node/test_image.py

# Images and tools are built outside of the node's network, which is isolated.
e2e-node: go $(VENV)/.dev ## Install the chart on a real node, and test it there (needs root, cgroups, containerd, buildah, Go)
	@$(BIN)/python tests/node/sandbox.py
	@$(BIN)/python tests/e2e/toolbox.py etcd kube-apiserver kube-controller-manager kubectl helm kube-scheduler kubelet kube-proxy >/dev/null
	@$(BIN)/python tests/node/image.py build/images >/dev/null
	@$(BIN)/python -m pytest -c tests/node/pytest.ini --rootdir tests/node -v tests/node/test_sandbox.py
	@IMAGES=$(CURDIR)/build/images $(BIN)/python tests/node/sandbox.py $(BIN)/python -m pytest -c tests/node/pytest.ini \
	  --rootdir tests/node -v --ignore tests/node/test_image.py --ignore tests/node/test_sandbox.py \
	  --ignore tests/node/test_founding_story.py tests/node

# Each scenario goes on where the one before it ended, so the first failure is the last.
e2e-story: go $(VENV)/.mesh ## Run eShop on a real node with real sidecars: what breaks, what heals (needs what e2e-node needs)
	@$(BIN)/python tests/node/sandbox.py
	@$(BIN)/python tests/e2e/toolbox.py etcd kube-apiserver kube-controller-manager istioctl pilot-discovery pilot-agent \
	  kubectl helm kube-scheduler kubelet kube-proxy >/dev/null
	@$(BIN)/python tests/node/image.py build/images >/dev/null
	@PYTHONPATH=tests/e2e $(BIN)/python tests/node/eshop_images.py build/images/eshop/eshop.tar >/dev/null
	@IMAGES=$(CURDIR)/build/images $(BIN)/python tests/node/sandbox.py $(BIN)/python -m pytest -c tests/node/pytest.ini \
	  --rootdir tests/node -v --exitfirst tests/node/test_founding_story.py

docs: $(VENV)/.dev ## Generate the policy's reference and schemas from its models, and the table of broken applications
	@$(BIN)/python docs/reference.py
	@$(BIN)/python docs/broken_applications.py

lint: $(VENV)/.dev ## Check style, types, and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file tests/mypy.ini

format: $(VENV)/.dev ## Format, and apply the linter's automatic fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(VENV)/.dev ## Resolve requirements/*.in again, with hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --output-file requirements/runtime.txt requirements/runtime.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --output-file requirements/dev.txt requirements/dev.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --output-file requirements/build.txt requirements/build.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --output-file requirements/mesh.txt requirements/mesh.in

clean: ## Remove the output of the other targets
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
