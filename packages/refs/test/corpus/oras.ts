import { complete, type ReferenceCorpus } from "./corpus.js";

const DIGEST = "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
const SHORT = "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde";

const REASON = {
  emptyTag: "an empty tag is no tag in distribution's grammar",
  hub: "a reference without a host means Docker Hub, as it does for Docker",
  unchecked: "the source formats without checking; its own parser refuses the text",
  noScheme: "a scheme is no part of a reference, and plain HTTP is asked for by an option",
} as const;

/**
 * The inputs and verdicts of oras-go's tests of registry.Reference, as facts.
 */
export const oras: ReferenceCorpus = {
  source: "oras-go registry",
  groups: [
    {
      title: "ParseReference, accepted, with five registries",
      reading: "reference",
      cases: [
        complete(`localhost/hello-world@${DIGEST}`),
        complete(`localhost/hello-world:v2@${DIGEST}`),
        complete("localhost/hello-world:v1"),
        complete("localhost/hello-world"),
        complete(`registry.example.com/hello-world@${DIGEST}`),
        complete(`registry.example.com/hello-world:v2@${DIGEST}`),
        complete("registry.example.com/hello-world:v1"),
        complete("registry.example.com/hello-world"),
        complete(`localhost:5000/hello-world@${DIGEST}`),
        complete(`localhost:5000/hello-world:v2@${DIGEST}`),
        complete("localhost:5000/hello-world:v1"),
        complete("localhost:5000/hello-world"),
        complete(`127.0.0.1:5000/hello-world@${DIGEST}`),
        complete(`127.0.0.1:5000/hello-world:v2@${DIGEST}`),
        complete("127.0.0.1:5000/hello-world:v1"),
        complete("127.0.0.1:5000/hello-world"),
        complete(`[::1]:5000/hello-world@${DIGEST}`),
        complete(`[::1]:5000/hello-world:v2@${DIGEST}`),
        complete("[::1]:5000/hello-world:v1"),
        complete("[::1]:5000/hello-world"),
      ],
      differences: [
        [`localhost/hello-world:@${DIGEST}`, `localhost/hello-world@${DIGEST}`, "reference_tag", REASON.emptyTag],
        [
          `registry.example.com/hello-world:@${DIGEST}`,
          `registry.example.com/hello-world@${DIGEST}`,
          "reference_tag",
          REASON.emptyTag,
        ],
        [
          `localhost:5000/hello-world:@${DIGEST}`,
          `localhost:5000/hello-world@${DIGEST}`,
          "reference_tag",
          REASON.emptyTag,
        ],
        [
          `127.0.0.1:5000/hello-world:@${DIGEST}`,
          `127.0.0.1:5000/hello-world@${DIGEST}`,
          "reference_tag",
          REASON.emptyTag,
        ],
        [`[::1]:5000/hello-world:@${DIGEST}`, `[::1]:5000/hello-world@${DIGEST}`, "reference_tag", REASON.emptyTag],
      ],
    },
    {
      title: "ParseReference, refused",
      reading: "reference",
      cases: [
        ["/hello-world:linux", "reference_format"],
        ["localhost/UPPERCASE/test", "reference_uppercase"],
        ["localhost:v1/hello-world", "reference_format"],
        [`registry.example.com/foobar@${SHORT}`, "digest_invalid"],
        [`registry.example.com/hello-world:foobar:${DIGEST}`, "reference_tag"],
        [`registry.example.com/hello-world@@${DIGEST}`, "digest_invalid"],
        [`registry.example.com/hello-world @${DIGEST}`, "reference_format"],
      ],
      differences: [
        ["localhost", "refused", "docker.io/library/localhost", REASON.hub],
        ["hello-world:linux", "refused", "docker.io/library/hello-world:linux", REASON.hub],
      ],
    },
    {
      title: "Validate",
      reading: "reference",
      cases: [
        complete("registry.example.com/hello-world:v1.0.0"),
        complete(`registry.example.com/hello-world@${DIGEST}`),
        complete("registry.example.com/hello-world"),
        ["invalid registry/hello-world:v1.0.0", "reference_format"],
        ["registry.example.com/INVALID_REPO:v1.0.0", "reference_uppercase"],
        ["registry.example.com/hello-world:INVALID_TAG!", "reference_tag"],
        [`registry.example.com/hello-world@${SHORT}`, "digest_invalid"],
      ],
    },
    {
      title: "a tag and a digest",
      reading: "reference",
      cases: [
        complete(`localhost/hello-world:v2@${DIGEST}`),
        complete(`registry.example.com/myapp:1.0.0@${DIGEST}`),
        complete(`localhost:5000/org/repo:v1.2.3-alpha@${DIGEST}`),
      ],
      differences: [
        [`localhost/hello-world:@${DIGEST}`, `localhost/hello-world@${DIGEST}`, "reference_tag", REASON.emptyTag],
      ],
    },
    {
      title: "GetReference",
      reading: "reference",
      cases: [
        complete(`localhost/hello-world@${DIGEST}`),
        complete(`localhost/hello-world:v2@${DIGEST}`),
        complete("localhost/hello-world:v1"),
        complete("localhost/hello-world"),
        complete("registry.example.com/org/repo:v1.2.3-alpha.1_build.123"),
        complete(`localhost:5000/org/team/project@${DIGEST}`),
      ],
    },
    {
      title: "String",
      reading: "reference",
      cases: [
        complete("registry.example.com/hello-world"),
        complete("registry.example.com/hello-world:v1.0.0"),
        complete(`registry.example.com/hello-world@${DIGEST}`),
      ],
      differences: [
        ["registry.example.com", "registry.example.com", "docker.io/library/registry.example.com", REASON.hub],
        [
          `registry.example.com/hello-world:${SHORT}`,
          `registry.example.com/hello-world:${SHORT}`,
          "reference_tag",
          REASON.unchecked,
        ],
      ],
    },
    {
      title: "ParseReference with schemes",
      reading: "reference",
      cases: [
        complete("localhost/hello-world:v1"),
        ["oci://localhost", "reference_format"],
        ["oci://invalid registry/repo", "reference_format"],
        ["oci://localhost/UPPERCASE", "reference_format"],
        ["localhost/oci://hello-world", "reference_tag"],
        ["OCI://localhost/hello-world", "reference_format"],
        ["Oci://localhost/hello-world", "reference_format"],
      ],
      differences: [
        [
          `oci://localhost/hello-world@${DIGEST}`,
          `localhost/hello-world@${DIGEST}`,
          "reference_format",
          REASON.noScheme,
        ],
        [
          "oci://registry.example.com/hello-world:v1",
          "registry.example.com/hello-world:v1",
          "reference_format",
          REASON.noScheme,
        ],
        [
          `oci://registry.example.com/hello-world:v2@${DIGEST}`,
          `registry.example.com/hello-world:v2@${DIGEST}`,
          "reference_format",
          REASON.noScheme,
        ],
        ["oci://127.0.0.1:5000/hello-world", "127.0.0.1:5000/hello-world", "reference_format", REASON.noScheme],
        ["oci://[::1]:5000/hello-world:latest", "[::1]:5000/hello-world:latest", "reference_format", REASON.noScheme],
        [
          "oci://ghcr.io/oras-project/oras-go:v3.0.0",
          "ghcr.io/oras-project/oras-go:v3.0.0",
          "reference_format",
          REASON.noScheme,
        ],
        [
          `http://localhost/hello-world@${DIGEST}`,
          `localhost/hello-world@${DIGEST}`,
          "reference_format",
          REASON.noScheme,
        ],
        [
          "http://registry.example.com:8080/hello-world:v1",
          "registry.example.com:8080/hello-world:v1",
          "reference_format",
          REASON.noScheme,
        ],
        [
          `https://localhost/hello-world@${DIGEST}`,
          `localhost/hello-world@${DIGEST}`,
          "reference_format",
          REASON.noScheme,
        ],
        [
          "https://registry.example.com/hello-world:v1",
          "registry.example.com/hello-world:v1",
          "reference_format",
          REASON.noScheme,
        ],
      ],
    },
  ],
};
