/**
 * A button that can say why it cannot be pressed. It stays reachable by keyboard, so that the reason can be read.
 */

import * as React from 'react';

export interface IActionButtonProps {
  label: string;
  /** What a screen reader says, when the label alone does not tell which machine. */
  title?: string;
  /** Why it cannot be pressed; empty when it can. */
  disabledReason?: string;
  disabled?: boolean;
  busy?: boolean;
  kind?: 'accept' | 'plain' | 'link' | 'danger';
  name: string;
  onPress: () => void;
}

export function ActionButton(props: IActionButtonProps): React.JSX.Element {
  const { label, title, disabledReason = '', busy = false } = props;
  const disabled = props.disabled === true || busy;
  const kind = props.kind ?? 'plain';
  const styled =
    kind === 'link' || kind === 'danger'
      ? `educloud-link jp-mod-${kind}`
      : `jp-mod-styled jp-mod-${kind === 'accept' ? 'accept' : 'reject'}`;
  return (
    <button
      type="button"
      className={`educloud-button ${styled}`}
      data-action={props.name}
      aria-label={title}
      aria-disabled={disabled || undefined}
      aria-busy={busy || undefined}
      title={disabled && disabledReason ? disabledReason : title}
      aria-description={disabled && disabledReason ? disabledReason : undefined}
      onClick={event => {
        event.stopPropagation();
        if (!disabled) {
          props.onPress();
        }
      }}
    >
      {busy ? <span className="educloud-spinner" aria-hidden="true" /> : null}
      {label}
    </button>
  );
}
