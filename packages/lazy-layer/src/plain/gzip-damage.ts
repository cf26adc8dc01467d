import { LayerFormatError } from "@lamella/layer-format";

export function damagedGzip(rule: string, cause?: unknown): LayerFormatError {
  return new LayerFormatError("compression_invalid", `cannot decompress layer: the gzip stream is damaged: ${rule}`, {
    cause,
  });
}
