/**
 * A lab's needs as text in a form's fields, and back. What is no number, port or volume stays as it was typed: the
 * server says what is wrong with it.
 */

export type NeedField =
  | 'course'
  | 'lab'
  | 'machine_profile'
  | 'revision'
  | 'slot'
  | 'volumes'
  | 'ports'
  | 'minutes'
  | 'show_calls';

export function formatNeed(field: NeedField, value: unknown): string {
  if (value === undefined || value === null) {
    return '';
  }
  if (field === 'ports' && Array.isArray(value)) {
    return value.map(one => plain(one)).join(', ');
  }
  if (field === 'volumes' && Array.isArray(value)) {
    return value
      .map((one: unknown) => {
        const { mount_point, size_gib } = (one ?? {}) as Record<
          string,
          unknown
        >;
        return `${plain(mount_point ?? '/data')} ${plain(size_gib ?? 1)}`;
      })
      .join('\n');
  }
  return plain(value);
}

/** The metadata's value; undefined for none. */
export function parseNeed(field: NeedField, text: string): unknown {
  const trimmed = text.trim();
  if (trimmed === '') {
    return undefined;
  }
  switch (field) {
    case 'revision':
    case 'minutes':
      return number(trimmed);
    case 'ports':
      return trimmed
        .split(/[\s,;]+/)
        .filter(Boolean)
        .map(number);
    case 'volumes':
      return trimmed
        .split('\n')
        .map(line => line.trim())
        .filter(Boolean)
        .map(line => {
          const [mount_point, size, ...more] = line.split(/\s+/);
          return more.length > 0 && more.join(' ').toLowerCase() !== 'gib'
            ? line
            : {
                mount_point,
                size_gib: size === undefined ? 1 : number(size)
              };
        });
    case 'show_calls':
      return trimmed === 'true';
    default:
      return trimmed;
  }
}

function number(text: string): number | string {
  return /^\d{1,9}$/.test(text) ? Number(text) : text;
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
