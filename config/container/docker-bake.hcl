# The image for every platform, with what it was built from and what is in it attached:
#
#   docker buildx bake -f config/container/docker-bake.hcl            builds, keeps it in the cache
#   docker buildx bake -f config/container/docker-bake.hcl local      for this machine, to run it
#   REGISTRY=registry.example/team VERSION=1.0.0 docker buildx bake -f ... --push
#
# Every dependency has wheels for both platforms, so that an emulated build compiles nothing.

variable "REGISTRY" { default = "localhost" }
variable "VERSION" { default = "0.0.0-dev" }
variable "REVISION" { default = "unknown" }
variable "SOURCE" { default = "unknown" }
# By digest for a release, as .github/workflows/ci.yaml looks it up:
# docker.io/library/python:3.13-slim-bookworm@sha256:...
variable "BASE" { default = "docker.io/library/python:3.13-slim-bookworm" }

group "default" { targets = ["image"] }

target "common" {
  context    = "."
  dockerfile = "Dockerfile"
  args = {
    BASE     = BASE
    VERSION  = VERSION
    REVISION = REVISION
    SOURCE   = SOURCE
  }
  tags = ["${REGISTRY}/meshproxy:${VERSION}"]
}

target "image" {
  inherits  = ["common"]
  platforms = ["linux/amd64", "linux/arm64"]
  attest    = ["type=provenance,mode=max", "type=sbom"]
}

target "local" {
  inherits = ["common"]
  output   = ["type=docker"]
}
