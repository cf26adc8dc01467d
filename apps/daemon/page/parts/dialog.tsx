import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";

export interface DialogProps {
  readonly title: string;
  /** Escape, or whatever else closes it. */
  readonly onClose: () => void;
  /** Of the form that it is: Enter does it too. */
  readonly onSubmit: () => void;
  readonly children: ComponentChildren;
  /** What it ends with: buttons. */
  readonly actions: ComponentChildren;
}

/** A modal dialog that is there as long as it is shown; what had the focus before gets it back. */
export function Dialog({ title, onClose, onSubmit, children, actions }: DialogProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // before the next key comes
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit();
        }}
      >
        <h2 id={id}>{title}</h2>
        {children}
        <div class="dialog-actions">{actions}</div>
      </form>
    </dialog>
  );
}
