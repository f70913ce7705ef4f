/** Turns TypeScript and ES modules into CommonJS for Jest; types are checked by tsc. */
const { transformSync } = require('esbuild');

module.exports = {
  process(source, path) {
    const extension = path.endsWith('.tsx')
      ? 'tsx'
      : path.endsWith('.ts')
        ? 'ts'
        : 'js';
    const { code } = transformSync(source, {
      loader: extension,
      format: 'cjs',
      target: 'es2022',
      sourcefile: path,
      sourcemap: 'inline'
    });
    return { code };
  }
};
