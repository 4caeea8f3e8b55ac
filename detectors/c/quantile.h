/* Quantiles of the normal distribution, to the bits of Python's `NormalDist().inv_cdf` (AS 241: Wichura,
 * Applied Statistics 37, 1988). */
#ifndef LEEWAY_QUANTILE_H
#define LEEWAY_QUANTILE_H

#include <math.h>

static double quotient(double r, const double above[8], const double below[8], double factor)
{
    double a = above[0], b = below[0];
    for (int i = 1; i < 8; i++) {
        a = a * r + above[i];
        b = b * r + below[i];
    }
    return a * factor / b;
}

static double normal_quantile(double share)
{
    static const double MIDDLE[2][8] = {
        {2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
         4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
         1.3314166789178437745e2, 3.3871328727963666080e0},
        {5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
         2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
         4.2313330701600911252e1, 1.0}};
    static const double NEAR[2][8] = {
        {7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
         1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
         4.63033784615654529590e0, 1.42343711074968357734e0},
        {1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
         1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
         2.05319162663775882187e0, 1.0}};
    static const double FAR_OFF[2][8] = {
        {2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
         2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
         5.46378491116411436990e0, 6.65790464350110377720e0},
        {2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
         7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
         5.99832206555887937690e-1, 1.0}};
    const double middle = share - 0.5;
    if (fabs(middle) <= 0.425)
        return quotient(0.180625 - middle * middle, MIDDLE[0], MIDDLE[1], middle);
    const double tail = sqrt(-log(middle <= 0.0 ? share : 1.0 - share));
    const double size = tail <= 5.0 ? quotient(tail - 1.6, NEAR[0], NEAR[1], 1.0)
                                    : quotient(tail - 5.0, FAR_OFF[0], FAR_OFF[1], 1.0);
    return middle < 0.0 ? -size : size;
}

enum { SHARES, QUANTILES, ALL_QUANTILES };

static PyObject *quantiles(PyObject *self, PyObject *args)
{
    Column c[ALL_QUANTILES] = {0};
    PyObject *columns, *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!", &PyTuple_Type, &columns))
        return NULL;
    if (!all_taken(columns, c, ALL_QUANTILES, QUANTILES))
        goto done;
    if (c[SHARES].size != 8 || c[QUANTILES].size != 8 || c[SHARES].count != c[QUANTILES].count) {
        refused("quantiles of another shape");
        goto done;
    }
    for (Py_ssize_t i = 0; i < c[SHARES].count; i++)
        ((double *)c[QUANTILES].of.buf)[i] = normal_quantile(((const double *)c[SHARES].of.buf)[i]);
    result = Py_NewRef(Py_None);
done:
    released(c, ALL_QUANTILES);
    return result;
}

#endif
