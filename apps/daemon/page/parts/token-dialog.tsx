import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { enterToken, session } from "../state/session.js";
import { useStore } from "../state/store.js";
import { Dialog } from "./dialog.js";

/** Asks for the token; there is nothing to see without it, so it comes back until it is right. */
export function TokenDialog(): JSX.Element {
  const { token: refused } = useStore(session);
  const [token, setToken] = useState("");
  const [round, setRound] = useState(0);
  return (
    <Dialog
      key={round}
      title="This daemon asks for its token"
      onClose={() => setRound(round + 1)}
      onSubmit={() => token !== "" && enterToken(token.trim())}
      actions={
        <button class="primary" type="submit">
          Continue
        </button>
      }
    >
      {refused !== undefined && (
        <p class="failure" role="alert">
          The daemon does not take this token.
        </p>
      )}
      <label class="field">
        <span>Token</span>
        <input
          type="password"
          autocomplete="off"
          required
          autofocus
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
      </label>
      <p class="hint">
        Where it is, lamellad says when it starts: <code>lamellad.token</code> in its store, unless it was given
        another. This tab keeps it until it is closed.
      </p>
    </Dialog>
  );
}
