import type { JSX } from "preact";

import type { Layer, Layers } from "../api/types.js";
import { byteSize, count, percent } from "../format/byte-size.js";
import { shortDigest } from "../format/image-name.js";

export interface LayersTableProps {
  readonly layers: Layers;
  /** Whose files are shown; without, those of all merged. */
  readonly chosen: number | undefined;
  readonly onChoose: (layer: number | undefined) => void;
}

/** What each layer does, and one of them, or all, to be chosen. */
export function LayersTable({ layers, chosen, onChoose }: LayersTableProps): JSX.Element {
  return (
    <>
      <dl class="figures">
        <Figure label="Efficiency" value={percent(layers.efficiency)} />
        <Figure label="Wasted" value={byteSize(layers.wasted_bytes)} />
        <Figure label="Content" value={byteSize(layers.content_bytes)} />
      </dl>
      <table class="layers">
        <thead>
          <tr>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col" class="number">
              Added
            </th>
            <th scope="col" class="number">
              Changed
            </th>
            <th scope="col" class="number">
              Removed
            </th>
            <th scope="col" class="number">
              Wasted
            </th>
          </tr>
        </thead>
        <tbody class={chosen === undefined ? "is-chosen" : ""}>
          <tr>
            <td colSpan={5} class="cell-layer">
              <label>
                <input type="radio" name="layer" checked={chosen === undefined} onChange={() => onChoose(undefined)} />
                <span>All layers, merged</span>
              </label>
            </td>
          </tr>
        </tbody>
        {layers.layers.map((layer) => (
          <LayerRows
            key={layer.index}
            layer={layer}
            isChosen={chosen === layer.index}
            onChoose={() => onChoose(layer.index)}
          />
        ))}
      </table>
    </>
  );
}

interface LayerRowsProps {
  readonly layer: Layer;
  readonly isChosen: boolean;
  readonly onChoose: () => void;
}

/** What made it in one row, what it does in the next. */
function LayerRows({ layer, isChosen, onChoose }: LayerRowsProps): JSX.Element {
  const { index, added, changed, removed } = layer;
  return (
    <tbody class={isChosen ? "is-chosen" : ""}>
      <tr>
        <td colSpan={5} class="cell-layer">
          <label title={layer.digest}>
            <input type="radio" name="layer" checked={isChosen} onChange={onChoose} />
            <span>
              <span class="layer-index">{index}</span>{" "}
              <code class="step">{layer.created_by ?? shortDigest(layer.digest)}</code>
            </span>
          </label>
        </td>
      </tr>
      <tr class="layer-numbers">
        <td class="number">{byteSize(layer.size_bytes)}</td>
        <Change sign="+" {...added} />
        <Change sign="~" {...changed} />
        <Change sign="−" {...removed} />
        <td class="number">
          {layer.wasted_bytes === 0 ? <span class="nothing">0</span> : byteSize(layer.wasted_bytes)}
        </td>
      </tr>
    </tbody>
  );
}

interface ChangeProps {
  readonly sign: string;
  readonly files: number;
  readonly bytes: number;
}

function Change({ sign, files, bytes }: ChangeProps): JSX.Element {
  return (
    <td class="number" title={files === 0 ? undefined : `${count(files, "file")}, ${byteSize(bytes)}`}>
      {files === 0 ? (
        <span class="nothing">0</span>
      ) : (
        <>
          {sign}
          {files.toLocaleString("en")}
        </>
      )}
    </td>
  );
}

function Figure({ label, value }: { readonly label: string; readonly value: string }): JSX.Element {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}
