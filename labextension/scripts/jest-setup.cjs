/** What a browser has and jsdom lacks. */
const util = require('node:util');

globalThis.TextEncoder ??= util.TextEncoder;
globalThis.TextDecoder ??= util.TextDecoder;
globalThis.Request ??= class Request {};
globalThis.DragEvent ??= class DragEvent extends MouseEvent {};
globalThis.ResizeObserver ??= class ResizeObserver {
  observe() {}
  unobserve() {}
  disconnect() {}
};
globalThis.matchMedia ??= () => ({ matches: false, addListener() {} });
globalThis.fetch ??= () => Promise.reject(new Error('no network in tests'));
globalThis.Headers ??= class Headers extends Map {};
globalThis.requestIdleCallback ??= callback => setTimeout(callback, 0);
