# The one front door. `make help` lists what is behind it.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV   := .venv
PYTHON ?= python3
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 14

# --- the Python environment: everything pinned by hash, uv only to be quick -------------------------------
LOCKS := operator/requirements.lock operator/build.lock tests/requirements.lock tests/install.lock

$(READY): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (set PYTHON=...)" >&2; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip --quiet --disable-pip-version-check install --require-hashes -r tests/install.lock
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r tests/requirements.lock
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r operator/build.lock
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: $(READY) ## Create .venv with the locked dependencies

COMPILE = $(VENV)/bin/uv pip compile -q --upgrade --universal --generate-hashes --no-header

.PHONY: lock
lock: ## Write the lock files anew from pyproject.toml
	@test -x $(VENV)/bin/uv || { $(PYTHON) -m venv $(VENV) && $(PY) -m pip -q install --require-hashes -r tests/install.lock; }
	$(COMPILE) pyproject.toml -o operator/requirements.lock
	$(COMPILE) --extra dev -c operator/requirements.lock pyproject.toml -o tests/requirements.lock
	$(COMPILE) --group build -o operator/build.lock
	$(COMPILE) --group install -o tests/install.lock
	$(COMPILE) --group audit -o tests/audit.lock
	$(COMPILE) --group browser -c tests/requirements.lock -o tests/browser.lock

.PHONY: audit
audit: ## Known vulnerabilities of everything that is locked (asks PyPI)
	@test -x $(VENV)/audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)/audit && \
		$(VENV)/audit/bin/python -m pip -q --disable-pip-version-check install --require-hashes -r tests/audit.lock; }
	@for lock in $(LOCKS) tests/audit.lock tests/browser.lock; do echo "$$lock" && \
		$(VENV)/audit/bin/pip-audit --progress-spinner off --strict --disable-pip --require-hashes -r "$$lock" || exit 1; done

.PHONY: lint
lint: $(READY) ## ruff, mypy --strict, import-linter, shellcheck
	$(VENV)/bin/shellcheck operator/pve_evpn/node/* .ci/run tests/vm/*.sh
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: format
format: $(READY) ## Format the Python sources
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# --- running it -------------------------------------------------------------------------------------------------
.PHONY: demo
demo: $(READY) ## The main job on real parts (KEEP=1 leaves it running, CLUSTER=current your Kubernetes, DATAPLANE=frr real FRR, TOPOLOGY=bare from bare nodes)
	@$(PY) -m tests.demo $(if $(KEEP),--keep) $(if $(CLUSTER),--cluster $(CLUSTER)) $(if $(DATAPLANE),--dataplane $(DATAPLANE)) \
		$(if $(TOPOLOGY),--topology $(TOPOLOGY))

.PHONY: lab
lab: $(READY) ## Start the embedded Proxmox cluster alone (PORT=8006, PVE=9.2 the release, DATAPLANE=frr for real FRR, LAB='--fault ...')
	@$(PY) -m pve_lab --port $(or $(PORT),8006) --admin-port $(or $(ADMIN_PORT),8007) --ca-file $(VENV)/lab-ca.pem \
		--pve-version $(or $(PVE),9.2) --dataplane $(or $(DATAPLANE),model) $(LAB)

.PHONY: crds
crds: $(READY) ## Write crds/ anew from the models, and what the Helm chart and examples/ have of them
	@$(PY) -m pve_evpn.api.schema crds/
	@$(PY) -m pve_evpn.api.admission crds/warnings/
	@$(PY) charts/generate.py

.PHONY: wheel
wheel: $(READY) ## Build the Python package into dist/
	@$(VENV)/bin/uv build --quiet --no-build-isolation --python $(PY) --wheel --out-dir dist .

.PHONY: install-yaml
install-yaml: $(READY) ## Write dist/install.yaml, the chart without Helm (IMAGE=registry/name:tag unless the chart names one)
	@$(PY) charts/generate.py --install dist/install.yaml --image "$(IMAGE)" --helm "$$(command -v helm || $(PY) -m tests.helm.tools)"

.PHONY: control-plane
control-plane: $(READY) ## Build kube-apiserver, kube-controller-manager, etcd and kubectl into the cache
	@$(PY) -m tests.kube.controlplane build

# --- testing it -------------------------------------------------------------------------------------------------
WANTED = busybox jq zsh fish
PROGRAMS = command -v $(WANTED) | awk 'END { exit NR < $(words $(WANTED)) }' || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	echo "installing $(WANTED)" && apt-get update -qq && apt-get install -qq -y $(WANTED) >/dev/null; } || \
	echo "LEFT OUT, where they are missing: the helpers of the nodes under busybox, commands of the pages with jq, TAB in zsh and fish (Debian: apt-get install $(WANTED), as root)"
#: Left to `make bench`, `make image-test` and `make e2e-ui`.
APART = --ignore=tests/bench --ignore=tests/image --ignore=tests/ui
#: One at a time: they measure seconds, or own the machine's network.
ALONE = tests/frr tests/ha tests/scale

.PHONY: test
test: lint control-plane ## What every change must pass; the short tests on real FRR where root can install it
	@$(PY) -m pve_lab.frr.install || echo "LEFT OUT: all tests on real FRR (tests/frr)"
	@$(PROGRAMS)
	$(VENV)/bin/pytest $(APART) -m "not kube and not frr" -n auto --dist worksteal
	$(VENV)/bin/pytest $(APART) $(ALONE:%=--ignore=%) -m kube -n 2 --dist loadfile --no-loadscope-reorder
	$(VENV)/bin/pytest $(ALONE) -m "(kube or frr) and not frr_long"

.PHONY: test-all
test-all: test bench e2e-ui e2e-frr e2e-frr-vm e2e-argocd image-test release-check ## Everything: `test`, and what takes minutes or root

.PHONY: redteam
redteam: $(READY) control-plane ## What attackers try: hostile tenants, answers, callers, faults of Kubernetes, rules of the API server
	@$(PROGRAMS)
	$(VENV)/bin/pytest -m redteam --ignore=tests/ui
	$(VENV)/bin/pytest tests/kube/test_crd_rules.py

.PHONY: bench
bench: $(READY) ## What it costs: limits on CPU time
	$(VENV)/bin/pytest tests/bench -s

.PHONY: scale
scale: control-plane ## What thousands of objects cost on real parts (VNETS=1000 GUESTS=500 NICS=4 NODES=8 SUBNETS=1 TASK=0.5 REST=60 JSON=FILE)
	@$(PY) -m tests.scale --vnets $(or $(VNETS),1000) --guests $(or $(GUESTS),500) --nics $(or $(NICS),4) \
		--nodes $(or $(NODES),8) --subnets $(or $(SUBNETS),1) --task $(or $(TASK),0.5) --rest $(or $(REST),60) \
		$(if $(JSON),--json $(JSON)) $(if $(KEEP),--keep $(KEEP))

.PHONY: e2e-frr
e2e-frr: $(READY) ## All tests on real FRR, the long ones too (half an hour; needs root, installs Debian's frr if missing)
	@if $(PY) -m pve_lab.frr.install; then $(PY) -m tests.frr.frr10; $(VENV)/bin/pytest tests/frr; \
	else echo "LEFT OUT: all tests on real FRR (tests/frr)"; fi

.PHONY: e2e-frr-vm
e2e-frr-vm: $(READY) control-plane ## Tests on real FRR that need VRFs, in a machine with Debian's kernel (TESTS='tests/frr/test_x.py -k y', MACHINE=uml or qemu, LIMIT=3600 seconds)
	@$(PY) -m tests.vm $(if $(MACHINE),--machine $(MACHINE)) --limit $(or $(LIMIT),3600) -- $(or $(TESTS),tests/frr -m frr_vrf)

.PHONY: e2e-ui
e2e-ui: $(READY) control-plane ## The page of `pve-evpn ui` in a real Chromium (as root installs Debian's chromium if missing)
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "installing chromium" && apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; } || \
		{ echo "chromium cannot be had here (Debian: apt-get install chromium, as root)" >&2; exit 1; }
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r tests/browser.lock
	$(VENV)/bin/pytest tests/ui

.PHONY: e2e-cli
e2e-cli: $(READY) control-plane ## Every command of `pve-evpn` on a real API server, and its tables beside vtysh's on real FRR (as root)
	@$(PY) -m pve_lab.frr.install || echo "LEFT OUT: the tables beside real FRR's (tests/frr/test_cli.py)"
	$(VENV)/bin/pytest -m cli tests/cli tests/frr

.PHONY: e2e-argocd
e2e-argocd: $(READY) control-plane ## Networks kept by the real Argo CD (as root installs Debian's redis-server if missing)
	@if command -v redis-server >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "installing redis-server" && apt-get update -qq && apt-get install -qq -y redis-server >/dev/null; }; \
	then $(VENV)/bin/pytest tests/gitops -m argocd; \
	else echo "redis-server cannot be had here (Debian: apt-get install redis-server, as root)"; \
	echo "LEFT OUT: all tests on the real Argo CD (tests/gitops)"; fi

.PHONY: test-alerts
test-alerts: $(READY) ## Alerts by the real promtool, statuses by Flux' own library
	$(VENV)/bin/pytest tests/alerts tests/gitops/test_kstatus.py

.PHONY: dashboards
dashboards: $(READY) ## Write the Grafana dashboards anew
	@$(PY) charts/dashboards.py charts/pve-evpn-operator/dashboards/

.PHONY: chaos
chaos: $(READY) ## Users, other clients, faults and crashes at random (N=1000 runs, SEED=1 the first batch of ten; KUBE=1 on a real API server)
ifdef KUBE
	CHAOS_KUBE_RUNS=$(or $(N),1000) CHAOS_SEED=$(or $(SEED),1) $(VENV)/bin/pytest tests/chaos/test_kube.py -q -s
else
	CHAOS_RUNS=$(or $(N),1000) CHAOS_SEED=$(or $(SEED),1) $(VENV)/bin/pytest tests/chaos/test_machine.py -q
endif

.PHONY: e2e-helm
e2e-helm: control-plane ## Helm and kubeconform on the real API server: install, upgrade, uninstall, break-glass
	$(VENV)/bin/pytest tests/helm tests/upgrade

.PHONY: image-test
image-test: $(READY) control-plane ## The image, built with buildah, and the operator in it (needs root; minutes)
	@{ command -v buildah && command -v debootstrap; } >/dev/null || { echo "installing buildah and debootstrap" && \
		apt-get update -qq && apt-get install -qq -y buildah debootstrap >/dev/null; }
	$(VENV)/bin/pytest tests/image -m image

.PHONY: release-check
release-check: $(READY) ## Every step of a release, without GitHub; what it would publish is left in dist/ (needs root; minutes)
	@{ command -v buildah && command -v debootstrap; } >/dev/null || { echo "installing buildah and debootstrap" && \
		apt-get update -qq && apt-get install -qq -y buildah debootstrap >/dev/null; }
	@$(PY) -m tests.release
