import { chainIDs } from "@lamella/snapshot";

const diffIDs = [
  "sha256:2aaf6a0bd2c6d2d4e4b3e0e3a1b06f5e3a4b7b0f1c0e5c3d5b2d2f0e9a8b7c6d",
  "sha256:8b1c9c0d5e7f3a2b4c6d8e0f1a3b5c7d9e1f2a4b6c8d0e2f4a6b8c0d2e4f6a8b",
];

// the first layer's chain ID is its diffID, each further one names the layer on its parents
for (const id of chainIDs(diffIDs)) console.log(id);
