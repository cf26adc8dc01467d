/** Sees which reads go on where an earlier one ended, and how far ahead is worth fetching. */
export interface ReadAhead {
  /** Notes a read; gives how many bytes behind it will be wanted: none unless it goes on. */
  note(offset: number, length: number): number;
}

interface Course {
  end: number;
  windowBytes: number;
}

export interface ReadAheadOptions {
  leastBytes: number;
  mostBytes: number;
}

/** Readers of one blob that are told apart. */
const COURSES = 8;
/** Headers and files that nobody wants may lie between two reads. */
const GAP_BYTES = 64 * 1024;

/** The window doubles with each read that goes on, from `leastBytes` to `mostBytes`. */
export function createReadAhead({ leastBytes, mostBytes }: ReadAheadOptions): ReadAhead {
  /** The one used last comes last. */
  const courses: Course[] = [];
  return {
    note(offset, length) {
      const end = offset + length;
      const at = courses.findIndex(
        (one) => offset <= one.end + GAP_BYTES && end > one.end && offset + GAP_BYTES > one.end,
      );
      const [course] = at < 0 ? [undefined] : courses.splice(at, 1);
      if (course === undefined) {
        if (courses.length === COURSES) courses.shift();
        courses.push({ end, windowBytes: 0 });
        return 0;
      }
      const windowBytes = Math.min(mostBytes, Math.max(leastBytes, length, 2 * course.windowBytes));
      courses.push({ end, windowBytes });
      return windowBytes;
    },
  };
}
