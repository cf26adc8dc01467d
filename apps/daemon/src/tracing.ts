import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import type { Span } from "@opentelemetry/api";

import type { ManagerHooks } from "@lamella/image-store";

/**
 * A span for each phase, as whatever tracer provider this process has registered wants them; without one, nothing. The phases of a build are children
 * of its own span.
 */
export function traceBuilds(): ManagerHooks {
  const builds = new Map<number, Span>();
  return {
    onPhase({ phase, name, build }) {
      const tracer = trace.getTracer("lamellad");
      const whole = build === undefined ? undefined : builds.get(build);
      const parent = whole === undefined ? context.active() : trace.setSpan(context.active(), whole);
      const attributes = { "lamella.image": name, ...(build !== undefined && { "lamella.build": build }) };
      const span = tracer.startSpan(`lamella.${phase}`, { attributes }, parent);
      if (phase === "build" && build !== undefined) builds.set(build, span);
      return ({ outcome, errorCode }) => {
        span.setAttribute("lamella.outcome", outcome);
        if (errorCode !== undefined) span.setAttribute("error.type", errorCode);
        if (outcome === "failed") span.setStatus({ code: SpanStatusCode.ERROR });
        if (phase === "build" && build !== undefined) builds.delete(build);
        span.end();
      };
    },
  };
}

/** Calls all of them; at the end of a phase in the order of its beginning. */
export function joinHooks(hooks: readonly ManagerHooks[]): ManagerHooks {
  return {
    onPhase(phase) {
      const ends = hooks.map(({ onPhase }) => onPhase?.(phase));
      return (end) => {
        for (const ended of ends) ended?.(end);
      };
    },
    onQueue(state) {
      for (const { onQueue } of hooks) onQueue?.(state);
    },
  };
}
