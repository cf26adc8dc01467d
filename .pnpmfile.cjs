/** openapi-typescript takes the workspace's TypeScript for its own, which from 7 on has no API for programs: it gets one that has. */
function readPackage(manifest) {
  if (manifest.name !== "openapi-typescript") return manifest;
  const { typescript: _, ...peerDependencies } = manifest.peerDependencies;
  return { ...manifest, peerDependencies, dependencies: { ...manifest.dependencies, typescript: "5.9.3" } };
}

module.exports = { hooks: { readPackage } };
