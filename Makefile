# `make run` and `make test` do all the set-up; they need make and Python 3.11 to 3.13, and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv trusts its own certificates; pip trusts those of the system, which a private mirror of the registry needs.
UV := $(BIN)/uv --system-certs
BUNDLE := build/bundle
KEYCLOAK_VERSION := 26.0.8
KEYCLOAK := build/keycloak/keycloak-quarkus-dist-$(KEYCLOAK_VERSION).zip
# What takes too long for CI: whole runs of the pipeline, rollouts on a stack, a registry whose server is killed, trainings that
# are killed, diverge, or are compared.
LONG := tests/pipelines/run/test_whole_run.py tests/pipelines/rollout/test_local.py tests/pipelines/registry/test_registry_server.py \
	tests/pipelines/training/test_whole_trainings.py

.PHONY: run test test-long lint docs bench bench-growth flames bundle setup jdk lock images clean \
	proof-attacks proof-conformance proof-dicom proof-faults proof-fuzz proof-images proof-kills proof-oidc proof-overload \
	proof-restarts proof-soak proof-containers

run: setup
	$(BIN)/pleura up --classify-samples

# Two workers, one file at a time: half of the time goes by in waiting for servers that start, stop or hang.
test: setup jdk
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(LONG:%=--ignore %) $(PYTEST_ARGUMENTS)

test-long: setup
	$(BIN)/python -m pytest $(LONG) $(PYTEST_ARGUMENTS)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The pages of docs/reference that follow from the code; translations are renewed by hand.
docs: setup
	$(BIN)/python -m docs.generator

bench: setup bundle
	$(BIN)/python -m proof.speed $(BUNDLE)

bench-growth: setup bundle
	$(BIN)/python -m proof.speed.growth $(BUNDLE) docs/proof/growth.svg

flames: setup bundle
	$(BIN)/python -m proof.speed.flames $(BUNDLE) docs/proof/flames

proof-kills: setup bundle
	$(BIN)/python -m proof.faults.kills $(BUNDLE) $(KILLS)

proof-overload: setup bundle
	$(BIN)/python -m proof.load.overload $(BUNDLE) $(OVERLOAD_S)

proof-restarts: setup bundle
	$(BIN)/python -m proof.faults.restarts $(BUNDLE) $(RESTARTS)

proof-soak: setup bundle
	$(BIN)/python -m proof.load.soak $(BUNDLE) $(REQUESTS)

proof-attacks: setup bundle
	$(BIN)/python -m proof.attacks $(BUNDLE)

proof-conformance: setup
	CONFORMANCE_EXAMPLES=300 $(BIN)/python -m pytest tests/conformance -q

# Needs DCMTK and GDCM (Debian packages dcmtk and libgdcm-tools); says so if they are missing.
proof-dicom: setup
	$(BIN)/python -m proof.display

proof-faults: setup
	$(BIN)/python -m proof.faults
# FUZZ_SECONDS=60 for a short one; corpus and findings are kept, so that a later run goes on from there.
proof-fuzz: setup
	$(BIN)/python -m proof.fuzz build/fuzz --seconds $(or $(FUZZ_SECONDS),3600)

# It needs Java 17 or later, and Maven.
proof-oidc: setup $(KEYCLOAK)
	$(BIN)/python -m proof.oidc $(KEYCLOAK)

proof-images: setup
	$(BIN)/python -m proof.attacks.images
	$(BIN)/python -m pytest tests/proof/attacks/test_images.py tests/proof/attacks/test_polarity.py tests/proof/attacks/test_patient_data.py

setup: $(VENV)/.installed

# The tests run the client programs of docs/clients. Node.js and Go come with the development dependencies; a Java compiler does not.
jdk:
	command -v javac >/dev/null || { apt-get -qq update && apt-get -qqy install --no-install-recommends default-jdk-headless; } || \
		{ echo "install a JDK of Java 17 or later: javac is not there" >&2; exit 1; }

$(KEYCLOAK):
	mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -DoutputDirectory=$(@D) \
		-Dartifact=org.keycloak:keycloak-quarkus-dist:$(KEYCLOAK_VERSION):zip

bundle: $(BUNDLE)/bundle.json

# Images of the services: SERVICES="auth_proxy transformer" for some of them, BASE=debian where no registry can be reached.
images: setup
	$(BIN)/python -m manifests.images $(SERVICES)

# Needs root, and images that Buildah built.
proof-containers: setup bundle
	$(BIN)/python -m proof.containers $(BUNDLE)

$(VENV)/.installed: requirements.lock requirements-uv.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed")'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-uv.lock
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

# Build the bundle again when its source, or the code that builds it, changes.
$(BUNDLE)/bundle.json: $(VENV)/.installed predictor/default/source.json predictor/default/weights.npz predictor/build/bundle.py predictor/build/graph.py predictor/build/network.py pleura/bundle.py
	$(BIN)/pleura model build predictor/default $(BUNDLE)

lock:
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --all-extras pyproject.toml --output-file requirements.lock
	echo uv | $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header - --output-file requirements-uv.lock
	$(BIN)/python -m manifests.images.lock

clean:
	rm -rf build $(VENV)
